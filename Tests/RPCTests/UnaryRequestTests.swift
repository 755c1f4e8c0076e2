import HTTP
import RPC
import WireSchema
import Testing

@Suite("Heads of unary calls")
struct UnaryRequestTests {
  private static func request(
    _ fields: [(String, String)], body: [UInt8] = Array("{}".utf8), bytesMax: Int = 1_000
  ) throws(RPCError) -> UnaryRequest {
    var head = HeaderBlock()
    for (name, value) in fields { head.append(name, value) }
    return try UnaryRequest(head, body: body, bytesMax: bytesMax)
  }

  private static let json = ("content-type", "application/json")

  @Test(
    "headers that are allowed",
    arguments: [
      ([], nil), ([("connect-protocol-version", "1")], nil),
      ([("content-encoding", "identity")], nil), ([("content-encoding", "Identity")], nil),
      ([("connect-timeout-ms", "0")], 0),
      ([("connect-timeout-ms", "1")], 1), ([("connect-timeout-ms", "0000000007")], 7),
      ([("connect-timeout-ms", "9999999999")], 9_999_999_999),
      ([("x-anything", "1"), ("accept-encoding", "gzip, br")], nil),
    ] as [([(String, String)], Int64?)])
  func allowed(_ fields: [(String, String)], _ timeout: Int64?) throws {
    let request = try Self.request([Self.json] + fields)
    #expect(request.codec == .json)
    #expect(request.body == Array("{}".utf8))
    #expect(request.timeoutMilliseconds == timeout)
  }

  @Test(
    "headers that are refused",
    arguments: [
      ("connect-protocol-version", "2", .invalidArgument),
      ("connect-protocol-version", "", .invalidArgument),
      ("connect-timeout-ms", "", .invalidArgument),
      ("connect-timeout-ms", "12345678901", .invalidArgument),
      ("connect-timeout-ms", "-1", .invalidArgument),
      ("connect-timeout-ms", "+1", .invalidArgument),
      ("connect-timeout-ms", "1 ", .invalidArgument),
      ("connect-timeout-ms", "1e3", .invalidArgument),
      ("connect-timeout-ms", "١", .invalidArgument),
      ("content-encoding", "br", .unimplemented),
      ("content-encoding", "gzip, gzip", .unimplemented),
      ("content-encoding", "", .unimplemented),
    ] as [(String, String, RPCError.Code)])
  func refused(_ name: String, _ value: String, _ code: RPCError.Code) {
    let error = #expect(throws: RPCError.self) { try Self.request([Self.json, (name, value)]) }
    #expect(error?.code == code)
    #expect(error?.message.contains("\"\(value)\"") == true)
  }

  @Test("another content type is 415", arguments: [nil, "", "text/plain", "application/grpc"])
  func contentType(_ value: String?) {
    let error = #expect(throws: RPCError.self) {
      try Self.request(value.map { [("content-type", $0)] } ?? [])
    }
    #expect(error?.httpStatus == 415)
    #expect(error?.code == .unknown)
  }

  @Test("both codecs, in their usual spelling and others")
  func codecs() throws {
    #expect(try Self.request([("content-type", "application/proto")]).codec == .proto)
    #expect(try Self.request([("content-type", "application/PROTO; a=b")]).codec == .proto)
    #expect(try Self.request([("content-type", "application/json; charset=UTF-8")]).codec == .json)
  }

  @Test("gzip is undone within the bound, and an empty body stays empty")
  func gzip() throws {
    let fields = [Self.json, ("content-encoding", "gzip")]
    let packed = try Gzipped.hello
    #expect(try Self.request(fields, body: packed, bytesMax: 5).body == Array("hello".utf8))
    #expect(try Self.request(fields, body: []).body == [])
    let error = #expect(throws: RPCError.self) {
      try Self.request(fields, body: packed, bytesMax: 4)
    }
    #expect(error?.code == .resourceExhausted)
  }
}
