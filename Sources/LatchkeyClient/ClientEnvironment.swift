package import NIOCore
import NIOPosix

/// What a client takes from the world around it. Tests bring their own.
package struct ClientEnvironment: Sendable {
  package var time: any TimeSource
  package var randomBits: @Sendable () -> UInt64
  /// The wire versions that the client speaks, without gaps, the oldest first.
  package var dialects: [any WireDialect.Type]
  package var group: any EventLoopGroup

  package init(
    time: any TimeSource, randomBits: @escaping @Sendable () -> UInt64,
    dialects: [any WireDialect.Type], group: any EventLoopGroup
  ) {
    self.time = time
    self.randomBits = randomBits
    self.dialects = dialects
    self.group = group
  }

  package static var live: ClientEnvironment {
    ClientEnvironment(
      time: MachineTime(), randomBits: { UInt64.random(in: .min ... .max) },
      dialects: WireDialects.all, group: MultiThreadedEventLoopGroup.singleton)
  }
}
