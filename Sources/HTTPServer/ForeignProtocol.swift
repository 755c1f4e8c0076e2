/// What is sent to the port by mistake often enough to be called by its name.
package enum ForeignProtocol: CaseIterable, Sendable {
  /// A client that was told to speak TLS (RFC 8446 4.1.2). An answer in clear text is what its
  /// library knows best: "wrong version number", "server gave HTTP response to HTTPS client".
  case tls
  /// A client that was not told to speak TLS, at a port where everybody does.
  case clearText
  /// A balancer that puts the client's address in front (HAProxy's PROXY protocol, version 1 or 2).
  case proxy

  /// How a connection of each begins, where that can be told by itself.
  static let beginnings: [(ForeignProtocol, [UInt8])] = [
    // A handshake record of any version from SSL 3.0 on.
    (.tls, [0x16, 3]),
    (.proxy, Array("PROXY ".utf8)),
    (.proxy, Array("\r\n\r\n\0\r\nQUIT\n".utf8)),
  ]

  /// What its peer is told.
  var message: String {
    switch self {
    case .tls: "this port speaks HTTP without TLS: use http:// in place of https://"
    case .clearText: "this port speaks TLS: use https:// in place of http://"
    case .proxy:
      "the PROXY protocol is not spoken here: switch it off at the load balancer for this server"
    }
  }
}
