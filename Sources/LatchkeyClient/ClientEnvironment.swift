package import NIOCore
import NIOPosix
package import WireSchema

/// What a client takes from the world around it. Tests bring their own.
package struct ClientEnvironment: Sendable {
  package var time: any TimeSource
  package var randomBits: @Sendable () -> UInt64
  /// The wire versions that the client speaks, without gaps, the oldest first.
  package var versions: [any WireVersion.Type]
  package var group: any EventLoopGroup
  package var resolver: any NameResolver

  package init(
    time: any TimeSource, randomBits: @escaping @Sendable () -> UInt64,
    versions: [any WireVersion.Type], group: any EventLoopGroup,
    resolver: any NameResolver = SystemResolver()
  ) {
    self.time = time
    self.randomBits = randomBits
    self.versions = versions
    self.group = group
    self.resolver = resolver
  }

  package static var live: ClientEnvironment {
    ClientEnvironment(
      time: MachineTime(), randomBits: { UInt64.random(in: .min ... .max) },
      versions: WireVersions.all, group: MultiThreadedEventLoopGroup.singleton)
  }
}
