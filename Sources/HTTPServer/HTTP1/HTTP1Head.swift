import HTTP
import NIOHTTP1

/// Why a request of HTTP/1.1 is answered before it is handed on. The connection ends with it.
enum HTTP1Refusal: Error, Equatable {
  /// 400. A proxy in front might see another request than this server.
  case malformed
  /// 431.
  case headersTooLarge
  /// 413.
  case bodyTooLarge
  /// 429: what is arriving takes all the room there is.
  case noRoom
  /// 501: the body has been through more than chunks (RFC 9112 6.1).
  case transferCoding
}

/// What stands in front of a request's body, as HTTP/2 would have it.
struct HTTP1Head {
  /// Pseudo fields first, names in lower case.
  private(set) var block = HeaderBlock()
  /// How many bytes the body has; nil where it comes in chunks.
  private(set) var bodyBytes: Int? = 0
  /// Whether it is of HTTP/1.0, where keeping the connection has to be said.
  let isOld: Bool
  let isHead: Bool
  /// After CONNECT there is nothing to go on with: what follows would be the tunnel's. An upgrade
  /// that is offered is not taken (RFC 9110 7.8), and changes nothing.
  let isKeptAlive: Bool
  /// Whether the client waits to be told to send the body.
  private(set) var expectsContinue = false

  /// Judges what NIO's decoder lets through (RFC 9112 3.2 and 6.3): it has refused a length that is
  /// not a number, or that comes twice.
  init(_ head: HTTPRequestHead, bodyBytesMax: Int) throws(HTTP1Refusal) {
    isOld = head.version == .http1_0
    isHead = head.method == .HEAD
    let isConnect = head.method == .CONNECT
    isKeptAlive = head.isKeepAlive && !isConnect
    block.append(":method", head.method.rawValue)
    block.append(":path", Self.path(of: head.uri))
    var hosts = 0
    var length: Int?
    var isCoded = false
    for (name, value) in head.headers {
      let name = name.lowercased()
      block.append(name, value)
      switch name {
      case "host": hosts += 1
      case "content-length": length = Self.length(value)
      case "transfer-encoding": isCoded = true
      case "expect": expectsContinue = !isOld && value.isASCII("100-continue")
      default: break
      }
    }
    if isCoded {
      // HTTP/1.0 knows no chunks, and two ways to say where the body ends may differ.
      guard !isOld, length == nil else { throw .malformed }
      try Self.check(codings: head.headers[canonicalForm: "transfer-encoding"])
    }
    guard (length ?? 0) <= bodyBytesMax else { throw .bodyTooLarge }
    // Without a host, or with several, a proxy may see another request than this server.
    guard isOld || hosts == 1 else { throw .malformed }
    if !isConnect { bodyBytes = isCoded ? nil : length ?? 0 }
  }

  /// The path in a target of absolute form (RFC 9112 3.2.2), such as proxies send; others as they are.
  private static func path(of target: String) -> String {
    let bytes = target.utf8
    guard let scheme = ["http://", "https://"].first(where: { bytes.starts(with: $0.utf8) }) else {
      return target
    }
    let path = bytes.dropFirst(scheme.utf8.count).drop { $0 != UInt8(ascii: "/") }
    return path.isEmpty ? "/" : String(Substring(path))
  }

  /// More than an `Int` holds is the largest `Int`. There may be blanks behind the digits.
  private static func length(_ value: String) -> Int {
    Int(Substring(value.utf8.prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }))
      ?? .max
  }

  /// Chunks are the one thing that is undone, and they have to be the outermost, once.
  private static func check(codings: [Substring]) throws(HTTP1Refusal) {
    let areChunks = codings.map { $0.isASCII("chunked") }
    guard areChunks.last == true, areChunks.count(where: { $0 }) == 1 else { throw .malformed }
    guard codings.count == 1 else { throw .transferCoding }
  }
}

extension HTTPResponseHead {
  /// - Parameter isOld: Whether the request was of HTTP/1.0, whose peers have to be told that the
  ///   connection is kept.
  init(_ headers: ResponseHeaders, bodyBytes: Int, isKeptAlive: Bool, isOld: Bool) {
    self.init(version: .http1_1, status: HTTPResponseStatus(statusCode: headers.status))
    for (name, value) in headers.fields { self.headers.add(name: name, value: value) }
    self.headers.add(name: "content-length", value: String(bodyBytes))
    if !isKeptAlive {
      self.headers.add(name: "connection", value: "close")
    } else if isOld {
      self.headers.add(name: "connection", value: "keep-alive")
    }
  }
}

extension StringProtocol {
  /// Whether it is `text`, which is in lower case, but for the case of its letters. Compares bytes: as
  /// texts they would be normalised, which takes long where a peer has made them for that.
  fileprivate func isASCII(_ text: StaticString) -> Bool {
    guard utf8.count == text.utf8CodeUnitCount else { return false }
    return text.withUTF8Buffer { text in
      zip(utf8, text).allSatisfy { byte, lower in
        byte == lower || (lower >= UInt8(ascii: "a") && byte | 0x20 == lower)
      }
    }
  }
}
