/// An answer as a peer gets it, whichever HTTP version brought it.
package struct Answer: Sendable {
  package var status: Int
  /// Names in lower case.
  package var headers: [(name: String, value: String)]
  package var body: [UInt8]

  /// The values of all fields of that name, in their order.
  package func values(of name: String) -> [String] {
    headers.filter { $0.name == name }.map(\.value)
  }

  package func value(of name: String) -> String? { values(of: name).first }
}

/// A request as a test wants it sent.
package struct Call: Sendable {
  package var method: String
  package var path: String
  package var headers: [(String, String)]
  package var body: [UInt8]

  package init(
    method: String = "POST", path: String, headers: [(String, String)], body: [UInt8]
  ) {
    self.method = method
    self.path = path
    self.headers = headers
    self.body = body
  }

  /// A call in JSON.
  package static func json(_ method: String, _ body: String, wire: UInt32 = 1) -> Call {
    Call(
      path: "/latchkey.v\(wire).Locks/\(method)", headers: [("content-type", "application/json")],
      body: Array(body.utf8))
  }
}

/// How a call travels.
package enum HTTPVersion: String, CaseIterable, Sendable {
  case http1 = "1.1"
  case http2 = "2"

  /// Makes one call on a connection of its own.
  package func send(_ call: Call, port: Int) async throws -> Answer {
    switch self {
    case .http1: try await HTTP1Call.send(call, port: port)
    case .http2: try await HTTP2Call.send(call, port: port)
    }
  }
}

/// What a peer did that no peer may.
package struct PeerFault: Error {
  package var message: String

  package init(message: String) { self.message = message }
}
