import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import LatchkeyClient

@Suite(.timeLimit(.minutes(1)))
struct SocketTests {
  /// A half-open connection is gone within a minute, whether something waits to be acknowledged or not:
  /// the kernel's own times are two hours and a quarter of one.
  @Test func theKernelGivesUpOnADeadPeerWithinAMinute() async throws {
    let hole = try await BlackHole()
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let channel = try await Transport.connect(
      to: hole.address, nil, on: loop, timeout: .seconds(60)
    ) {
      _ in
    }.get()
    func option(_ option: ChannelOptions.Types.SocketOption) async throws -> Int {
      try await channel.getOption(option).get()
    }
    #expect(try await option(.socketOption(.so_keepalive)) == 1)
    let idle = try await option(.tcpOption(.init(rawValue: TCP_KEEPIDLE)))
    let interval = try await option(.tcpOption(.init(rawValue: TCP_KEEPINTVL)))
    let probes = try await option(.tcpOption(.init(rawValue: TCP_KEEPCNT)))
    #expect(idle + interval * probes <= 60)
    let unacknowledged = try await option(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)))
    #expect((1...60_000).contains(unacknowledged))
    #expect(try await option(.tcpOption(.tcp_nodelay)) == 1)
    try await channel.close()
    try await hole.stop()
  }
}
