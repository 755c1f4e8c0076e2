import Glibc
package import NIOCore

/// How the system learns that the peer of a connection is gone without a word: its machine lost
/// power, or the network between them. Without this it looks after two hours for the first time,
/// and sends what is not acknowledged again for a quarter of an hour.
///
/// Source: RFC 9293 3.8.4 (keep-alives), RFC 5482 (user timeout), tcp(7).
package enum TCPKeepAlive {
  /// Silence until the system asks the peer for the first time, in seconds.
  static let idleSeconds: SocketOptionValue = 20
  /// Between two questions, in seconds.
  static let intervalSeconds: SocketOptionValue = 5
  /// Questions without an answer until the connection ends.
  static let probesMax: SocketOptionValue = 5
  /// How long data may be unacknowledged, or wait for room at the peer, in milliseconds. Longer
  /// than a slow reader gets from ``HTTP2Limits/writeTimeout``, which is told apart from a dead
  /// peer.
  static let unacknowledgedMillisecondsMax: SocketOptionValue = 45_000

  /// The options of a connected TCP socket by which a dead peer is noticed within 45 seconds,
  /// whether something was sent to it or not.
  static let options: [(name: NIOBSDSocket.Option, value: SocketOptionValue)] = [
    (NIOBSDSocket.Option(rawValue: TCP_KEEPIDLE), idleSeconds),
    (NIOBSDSocket.Option(rawValue: TCP_KEEPINTVL), intervalSeconds),
    (NIOBSDSocket.Option(rawValue: TCP_KEEPCNT), probesMax),
    (NIOBSDSocket.Option(rawValue: TCP_USER_TIMEOUT), unacknowledgedMillisecondsMax),
  ]

  /// Sets them on the channel of a TCP socket, on its event loop.
  package static func set(on channel: any Channel) throws {
    guard let socket = channel.syncOptions else { return }
    try socket.setOption(.socketOption(.so_keepalive), value: 1)
    for (name, value) in options { try socket.setOption(.tcpOption(name), value: value) }
  }
}
