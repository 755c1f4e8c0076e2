import HTTP2
import NIOCore

/// An answer as it stands on the wire (RFC 9112 4).
struct HTTP1Answer {
  enum Connection: String {
    case close = "connection: close\r\n"
    /// A client of HTTP/1.0 is told.
    case keepAlive = "connection: keep-alive\r\n"
  }

  var headers: ResponseHeaders
  var body: [UInt8]
  /// Whether it is one to HEAD: all but the body.
  var isHead: Bool
  /// What is said of the connection's future; nil where it goes on as HTTP/1.1 has it.
  var connection: Connection?

  func bytes(_ allocator: ByteBufferAllocator) -> ByteBuffer {
    var bytes = allocator.buffer(capacity: Self.headBytes + (isHead ? 0 : body.count))
    bytes.writeString("HTTP/1.1 \(headers.status) \(Self.reason(headers.status))\r\n")
    for (name, value) in headers.fields {
      bytes.writeString(name)
      bytes.writeStaticString(": ")
      bytes.writeString(value)
      bytes.writeStaticString("\r\n")
    }
    bytes.writeString("content-length: \(body.count)\r\n")
    if let connection { bytes.writeString(connection.rawValue) }
    bytes.writeStaticString("\r\n")
    if !isHead { bytes.writeBytes(body) }
    return bytes
  }

  /// Enough for the head of an ordinary answer.
  private static let headBytes = 256

  /// What people read beside the statuses that this server gives (RFC 9110 15).
  private static func reason(_ status: Int) -> String {
    switch status {
    case 200: "OK"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 413: "Payload Too Large"
    case 415: "Unsupported Media Type"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 499: "Client Closed Request"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    // The reason may be empty.
    default: ""
    }
  }
}
