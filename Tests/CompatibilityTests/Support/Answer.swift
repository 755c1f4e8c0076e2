/// An answer as a peer gets it, whichever HTTP version brought it.
struct Answer: Sendable {
  var status: Int
  /// Names in lower case.
  var headers: [(name: String, value: String)]
  var body: [UInt8]

  /// The values of all fields of that name, in their order.
  func values(of name: String) -> [String] {
    headers.filter { $0.name == name }.map(\.value)
  }

  func value(of name: String) -> String? { values(of: name).first }
}

/// A request as a test wants it sent.
struct Call: Sendable {
  var method = "POST"
  var path: String
  var headers: [(String, String)]
  var body: [UInt8]

  /// A call in JSON.
  static func json(_ method: String, _ body: String) -> Call {
    Call(
      path: "/latchkey.v1.Locks/\(method)", headers: [("content-type", "application/json")],
      body: Array(body.utf8))
  }
}

/// How a call travels.
enum HTTPVersion: String, CaseIterable, Sendable {
  case http1 = "1.1"
  case http2 = "2"

  /// Makes one call on a connection of its own.
  func send(_ call: Call, port: Int) async throws -> Answer {
    switch self {
    case .http1: try await HTTP1Call.send(call, port: port)
    case .http2: try await HTTP2Call.send(call, port: port)
    }
  }
}

/// What a peer did that no peer may.
struct PeerFault: Error {
  var message: String
}
