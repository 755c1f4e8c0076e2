import SwiftProtobuf
import TestKit
import Testing

typealias JSONValue = Google_Protobuf_Value

/// A file of Protocol/vectors/v<N>, as Protocol/vectors/README.md describes it.
struct VectorFile: Sendable, CustomTestStringConvertible {
  var name: String
  /// The wire version of its calls.
  var wire: UInt32
  var vectors: [Vector]

  var testDescription: String { "v\(wire)/\(name)" }

  /// Every file of a folder below Protocol/vectors.
  static func all(in folder: String) throws -> [VectorFile] {
    try ProtocolFiles.names(in: "vectors/\(folder)").map { name in
      let root = try ProtocolFiles.json("vectors/\(folder)/\(name)")
      let fields = try Fields(root, allowed: ["about", "format", "wire", "vectors"])
      let vectors = try fields.required("vectors").list?.map(Vector.init) ?? []
      guard !vectors.isEmpty else { throw PeerFault(message: "\(name) has no vectors") }
      guard Set(vectors.map(\.name)).count == vectors.count else {
        throw PeerFault(message: "\(name) has two vectors of one name")
      }
      guard let wire = try fields.required("wire").integer.map({ UInt32($0) }),
        folder == "v\(wire)"
      else { throw fields.fault("wire") }
      return VectorFile(name: name, wire: wire, vectors: vectors)
    }
  }
}

/// One exchange: what comes before it, the request, the answer.
struct Vector: Sendable {
  enum Step: Sendable {
    case call(String, JSONValue, server: String)
    case restart
    case sql(String)
  }

  enum Outcome: Sendable {
    case error(ExpectedError)
    case message(json: JSONValue?, proto: [UInt8]?)
    case text(String)
  }

  struct ExpectedError: Sendable, Hashable {
    var code: String
    /// Nil where any message will do.
    var message: String?
    /// Whether `message` is only the beginning.
    var isPrefix: Bool
    var details: [Detail]
  }

  struct Detail: Sendable, Hashable {
    var type: String
    /// The bytes of the value without what depends on the moment; nil where any will do.
    var value: [UInt8]?
  }

  var name: String
  var setup: [Step]
  /// Done while the request is under way.
  var meanwhile: [Step]
  var method: String
  var path: String
  var headers: [(String, String)]
  var http: [HTTPVersion]
  /// The body in each codec, by content type; under "" where the vector gives bytes as they are.
  var bodies: [String: [UInt8]]
  var status: Int
  var requiredHeaders: [(String, String)]
  var outcome: Outcome

  init(_ value: JSONValue) throws {
    let fields = try Fields(
      value, allowed: ["name", "why", "setup", "request", "meanwhile", "response"])
    name = try fields.required("name").expandedText()
    guard try !fields.required("why").expandedText().isEmpty else { throw fields.fault("why") }
    setup = try (fields.optional("setup")?.list ?? []).map(Step.init)
    meanwhile = try (fields.optional("meanwhile")?.list ?? []).map(Step.init)
    let request = try Fields(
      try fields.required("request"),
      allowed: ["method", "path", "http", "headers", "json", "proto", "hex"])
    method = try request.optional("method")?.expandedText() ?? "POST"
    path = try request.required("path").expandedText()
    headers = try request.optional("headers").map { try $0.expandedFields() } ?? []
    http = try Self.versions(request.optional("http"))
    bodies = try Self.bodies(request)
    let response = try Fields(
      try fields.required("response"),
      allowed: ["status", "headers", "json", "proto", "text", "error"])
    guard let status = try response.required("status").integer else {
      throw response.fault("status")
    }
    self.status = Int(status)
    requiredHeaders = try response.optional("headers").map { try $0.expandedFields() } ?? []
    outcome = try Self.outcome(response)
  }

  private static func versions(_ value: JSONValue?) throws -> [HTTPVersion] {
    guard let value else { return HTTPVersion.allCases }
    return try (value.list ?? []).map { item in
      guard let version = item.string.flatMap(HTTPVersion.init) else {
        throw PeerFault(message: "no HTTP version: \(item)")
      }
      return version
    }
  }

  private static func bodies(_ request: Fields) throws -> [String: [UInt8]] {
    var bodies: [String: [UInt8]] = [:]
    if let json = request.optional("json") {
      bodies["application/json"] = try json.expanded().jsonUTF8Bytes()
    }
    if let proto = request.optional("proto") {
      bodies["application/proto"] = try proto.expandedBytes()
    }
    if let hex = request.optional("hex") { bodies[""] = try hex.expandedBytes() }
    guard bodies.isEmpty || bodies[""] == nil || bodies.count == 1 else {
      throw PeerFault(message: "\"hex\" stands alone")
    }
    return bodies.isEmpty ? ["": []] : bodies
  }

  private static func outcome(_ response: Fields) throws -> Outcome {
    if let text = response.optional("text") { return .text(try text.expandedText()) }
    if let error = response.optional("error") { return .error(try ExpectedError(error)) }
    let message = Outcome.message(
      json: try response.optional("json")?.expanded(),
      proto: try response.optional("proto")?.expandedBytes())
    if case .message(nil, nil) = message { throw response.fault("json, proto, text or error") }
    return message
  }
}

extension Vector.ExpectedError {
  fileprivate init(_ value: JSONValue) throws {
    let fields = try Fields(value, allowed: ["code", "message", "message_prefix", "details"])
    code = try fields.required("code").expandedText()
    let prefix = try fields.optional("message_prefix")?.expandedText()
    message = try fields.optional("message")?.expandedText() ?? prefix
    isPrefix = prefix != nil
    details = try (fields.optional("details")?.list ?? []).map(Vector.Detail.init)
  }
}

extension Vector.Detail {
  fileprivate init(_ value: JSONValue) throws {
    if let type = value.string {
      self.type = type
    } else {
      let fields = try Fields(value, allowed: ["type", "proto"])
      type = try fields.required("type").expandedText()
      self.value = try fields.required("proto").expandedBytes()
    }
  }
}

extension Vector.Step {
  fileprivate init(_ value: JSONValue) throws {
    let fields = try Fields(value, allowed: ["call", "json", "server", "restart", "sql"])
    if let sql = fields.optional("sql") {
      self = .sql(try sql.expandedText())
    } else if fields.optional("restart") != nil {
      self = .restart
    } else {
      self = .call(
        try fields.required("call").expandedText(), try fields.required("json").expanded(),
        server: try fields.optional("server")?.expandedText() ?? "a")
    }
  }
}

/// The members of a JSON object of which each is known: a misspelt one is a fault of the file.
private struct Fields {
  private let object: [String: JSONValue]

  init(_ value: JSONValue, allowed: Set<String>) throws {
    guard let object = value.object else { throw PeerFault(message: "no object: \(value)") }
    let unknown = Set(object.keys).subtracting(allowed)
    guard unknown.isEmpty else { throw PeerFault(message: "unknown members: \(unknown)") }
    self.object = object
  }

  func optional(_ name: String) -> JSONValue? { object[name] }

  func required(_ name: String) throws -> JSONValue {
    guard let value = object[name] else { throw fault(name) }
    return value
  }

  func fault(_ name: String) -> PeerFault {
    PeerFault(message: "\"\(name)\" is missing or wrong in \(object.keys.sorted())")
  }
}

extension JSONValue {
  /// The text itself, or what `{"repeat": text, "count": n}` and `{"join": [text, …]}` stand for;
  /// nil where this is no text.
  private var compactText: String? {
    if let string { return string }
    guard let object else { return nil }
    if object.count == 2, let text = object["repeat"]?.string, let count = object["count"]?.integer
    {
      return String(repeating: text, count: Int(count))
    }
    guard object.count == 1, let parts = object["join"]?.list else { return nil }
    let texts = parts.compactMap(\.compactText)
    return texts.count == parts.count ? texts.joined() : nil
  }

  fileprivate func expandedText() throws -> String {
    guard let text = compactText else { throw PeerFault(message: "no text: \(self)") }
    return text
  }

  /// The bytes that a text of hexadecimal digits stands for.
  func expandedBytes() throws -> [UInt8] {
    var bytes: [UInt8] = []
    var high: UInt8?
    for digit in try expandedText().utf8 {
      let value: UInt8 =
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: throw PeerFault(message: "no hexadecimal digit: \(digit)")
        }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    guard high == nil else { throw PeerFault(message: "half a byte") }
    return bytes
  }

  /// The same value with every compact text written out.
  fileprivate func expanded() throws -> JSONValue {
    if let text = compactText { return JSONValue(stringValue: text) }
    var copy = self
    switch kind {
    case .structValue(var fields)?:
      fields.fields = try fields.fields.mapValues { try $0.expanded() }
      copy.kind = .structValue(fields)
    case .listValue(var list)?:
      list.values = try list.values.map { try $0.expanded() }
      copy.kind = .listValue(list)
    default: break
    }
    return copy
  }

  fileprivate func expandedFields() throws -> [(String, String)] {
    guard let object else { throw PeerFault(message: "no object: \(self)") }
    return try object.sorted { $0.key < $1.key }.map { ($0.key, try $0.value.expandedText()) }
  }
}
