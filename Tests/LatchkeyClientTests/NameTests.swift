import NIOCore
import NIOPosix
import Synchronization
import TestKit
import Testing
import WireSchema

import LatchkeyServer
@testable import LatchkeyClient

/// A client of one name that leads to several servers.
@Suite(.timeLimit(.minutes(2)))
struct NameTests {
  private static let name = "locks.test"
  private let resolver = FakeResolver()

  private func client(
    _ time: ManualTime? = nil, names: [String] = [Self.name],
    versions: [any WireVersion.Type] = [V1.self],
    _ configure: (inout LatchkeyClient.Configuration) -> Void = { _ in }
  ) throws -> LatchkeyClient {
    // The port is the resolver's matter.
    var configuration = LatchkeyClient.Configuration(endpoints: try names.map { try Endpoint($0) })
    configure(&configuration)
    var environment = ClientEnvironment.live
    if let time { environment = .testing(time: time) }
    environment.versions = versions
    environment.resolver = resolver
    return LatchkeyClient(configuration, environment: environment)
  }

  private static func free() async throws -> FakeServer {
    try await FakeServer(host: "127.0.0.2") { _ in
      .error(RPCError(.notFound, "resource-not-found"))
    }
  }

  /// The whole way with real sockets and a real server beside a process that is suspended.
  @Test func aCallIsAnsweredBesideASuspendedServer() async throws {
    let folder = try StoreFolder()
    let hole = try await BlackHole(host: "127.0.0.1")
    let port = hole.address.port!
    let server = try await InProcessServer.start(store: folder.file) {
      $0.listeners = [Listener(.tcp(host: "127.0.0.2", port: port))]
    }
    let addresses = try ["127.0.0.1", "127.0.0.2"].map {
      try SocketAddress(ipAddress: $0, port: port)
    }
    resolver.change(Self.name, to: addresses)
    let client = try client(versions: WireVersions.all) { $0.requestTimeout = .seconds(60) }
    #expect(try await client.fetch("a") == nil)
    #expect(hole.bytes.load(ordering: .relaxed) > 0, "it was asked first")
    // It stays with the one that serves.
    try await client.claim("a", owner: "me", lease: .seconds(60))
    let info = try await client.connectionInfo()
    #expect(info.endpoint.host == Self.name && info.address == "127.0.0.2")
    await client.shutdown()
    try await server.stop()
    try await hole.stop()
  }

  @Test func theWayAroundASuspendedServerTakesTwoSeconds() async throws {
    let time = ManualTime()
    let hole = try await BlackHole()
    let good = try await Self.free()
    resolver.change(Self.name, to: [hole.address, good.address])
    let client = try client(time)
    async let resource = client.fetch("a")
    try await until { hole.bytes.load(ordering: .relaxed) > 100 }
    try await time.advance(to: .seconds(2))
    #expect(try await resource == nil)
    await client.shutdown()
    try await hole.stop()
    try await good.stop()
  }

  /// A lease of 3 s, whose server is suspended while another one of its name is well.
  @Test func aLeaseIsKeptBesideASuspendedServer() async throws {
    var isKept = false
    // A machine that stands still meanwhile proves nothing.
    for _ in 1...10 where !isKept {
      let standstill = Standstill()
      isKept = try await keepsLeaseBesideASuspendedServer()
      if await standstill.longest() < .milliseconds(200) { break }
    }
    #expect(isKept)
  }

  private func keepsLeaseBesideASuspendedServer() async throws -> Bool {
    let locks = FakeLocks()
    let first = try await FakeServer(host: "127.0.0.1") { locks.answer($0) }
    let second = try await FakeServer(host: "127.0.0.2") { locks.answer($0) }
    resolver.change(Self.name, to: [first.address, second.address])
    let client = try client()
    let isKept = try? await client.withLock("a", lease: .seconds(3)) { grant in
      try await first.suspend()
      // Twice the lease and more.
      try await until { grant.isLost || second.requests("Lock").count >= 7 }
      return !grant.isLost
    }
    await client.shutdown()
    try await first.stop()
    try await second.stop()
    return isKept == true
  }

  @Test func aNameThatIsNotKnownFailsItsEndpointOnly() async throws {
    let good = try await Self.free()
    resolver.change(Self.name, to: [good.address])
    let client = try client(names: ["nowhere.test", Self.name])
    #expect(try await client.fetch("a") == nil)
    #expect(resolver.lookUps == ["nowhere.test", Self.name])
    await client.shutdown()
    try await good.stop()
  }

  @Test func whatALookUpSaysIsInTheError() async throws {
    let time = ManualTime()
    let client = try client(time) { $0.requestTimeout = .milliseconds(40) }
    let failure = Task { () -> LatchkeyError? in
      do throws(LatchkeyError) {
        _ = try await client.fetch("a")
        return nil
      } catch {
        return error
      }
    }
    await time.untilPlanned(at: .milliseconds(50))
    try await time.advance(to: .milliseconds(40))
    let error = try #require(await failure.value)
    #expect(error.code == .unavailable)
    #expect(error.description.contains("cannot reach \(Self.name):7420: Unknown()"))
    await client.shutdown()
  }

  @Test func aLookUpThatHangsIsAFailureInTime() async throws {
    let time = ManualTime()
    let good = try await Self.free()
    resolver.change(Self.name, to: [good.address])
    resolver.hang("slow.test")
    let client = try client(time, names: ["slow.test", Self.name])
    async let resource = client.fetch("a")
    await time.untilPlanned(at: client.configuration.connectTimeout)
    #expect(resolver.lookUps == ["slow.test"])
    try await time.advance(to: client.configuration.connectTimeout)
    #expect(try await resource == nil)
    await client.shutdown()
    resolver.goOn()
    try await good.stop()
  }

  /// DNS fails while the server is restarted: where it was is where it is, most likely.
  @Test(arguments: [false, true])
  func theAddressesOfBeforeServeWhereDNSFails(hangs: Bool) async throws {
    let time = ManualTime()
    let server = try await Self.free()
    resolver.change(Self.name, to: [server.address])
    let client = try client(time) { $0.requestTimeout = .seconds(600) }
    #expect(try await client.fetch("a") == nil)
    if hangs { resolver.hang(Self.name) } else { resolver.change(Self.name, to: nil) }
    try await server.hangUp()
    let isDone = Shared(false)
    let resource = Task {
      defer { isDone.set(true) }
      return try await client.fetch("a")
    }
    try await until {
      // Pauses and the patience with the look-up pass.
      try await time.advance(to: time.elapsed + .milliseconds(50))
      return isDone.now
    }
    #expect(try await resource.value == nil)
    #expect(resolver.lookUps.count >= 2)
    await client.shutdown()
    resolver.goOn()
    try await server.stop()
  }

  @Test func addressesThatChangeAreFoundOnReconnecting() async throws {
    let old = try await Self.free()
    let new = try await Self.free()
    resolver.change(Self.name, to: [old.address])
    let client = try client { $0.requestTimeout = .seconds(60) }
    #expect(try await client.fetch("a") == nil)
    resolver.change(Self.name, to: [new.address])
    try await old.stop()
    #expect(try await client.fetch("a") == nil)
    #expect(new.requests.count == 1)
    await client.shutdown()
    try await new.stop()
  }

  /// Each address may be a server of another release.
  @Test func whatIsRememberedOfAnAddressIsNotSaidOfAnother() async throws {
    let old = try await FakeServer(offer: FakeServer.proxied) { WireRange(1, 1).answer($0) }
    let new = try await FakeServer(offer: FakeServer.proxied) { WireRange(1, 2).answer($0) }
    resolver.change(Self.name, to: [old.address, new.address])
    let client = try client(versions: [V1.self, FakeV2.self]) { $0.requestTimeout = .seconds(60) }
    try await client.release("a", owner: "me")
    try await client.release("a", owner: "me")
    #expect(old.requests.map(\.version) == [2, 1, 1])
    try await old.stop()
    try await client.release("a", owner: "me")
    #expect(new.requests.map(\.version) == [2])
    await client.shutdown()
    try await new.stop()
  }

  /// Of the fleets behind one name, one is of a release that has nothing in common with this one.
  @Test func anAddressWithNothingInCommonIsPassedOver() async throws {
    let strange = try await FakeServer(offer: WireRange(7, 9).offer) { WireRange(7, 9).answer($0) }
    let fitting = try await FakeServer(offer: WireRange(1, 1).offer) { WireRange(1, 1).answer($0) }
    resolver.change(Self.name, to: [strange.address, fitting.address])
    let client = try client { $0.requestTimeout = .seconds(60) }
    try await client.release("a", owner: "me")
    #expect(fitting.requests.count == 1)
    await client.shutdown()
    try await strange.stop()
    try await fitting.stop()
  }

  @Test func manyClientsBeginWithDifferentAddresses() async throws {
    let time = ManualTime()
    let servers = [try await Self.free(), try await Self.free(), try await Self.free()]
    resolver.change(Self.name, to: servers.map(\.address))
    let client = try client(time) { $0.shufflesEndpoints = true }
    #expect(try await client.fetch("a") == nil)
    let first = Int(ClientEnvironment.evenBits % UInt64(ClientLimits.addressesMax)) % servers.count
    #expect(servers.map(\.requests.count) == (0..<3).map { $0 == first ? 1 : 0 })
    await client.shutdown()
    for server in servers { try await server.stop() }
  }
}

/// What the system knows.
@Suite(.timeLimit(.minutes(1)))
struct SystemResolverTests {
  private let loop = MultiThreadedEventLoopGroup.singleton.next()

  @Test(arguments: [
    ("127.0.0.1:5", "127.0.0.1"), ("[::1]:5", "::1"), ("10.1.2.3:5", "10.1.2.3"),
  ])
  func anAddressIsItself(endpoint: String, address: String) async throws {
    let found = try await SystemResolver().addresses(of: Endpoint(endpoint), on: loop).get()
    #expect(found == [try SocketAddress(ipAddress: address, port: 5)])
  }

  @Test func theNameOfThisMachineIsKnown() async throws {
    let found = try await SystemResolver().addresses(of: Endpoint("localhost:5"), on: loop).get()
    #expect(found.contains { ["127.0.0.1", "::1"].contains($0.ipAddress) })
    #expect(found.allSatisfy { $0.port == 5 })
  }

  /// No name has an empty part, so nobody is asked.
  @Test func whatIsNoNameIsNotKnown() async throws {
    let failure = await #expect(throws: NameFailure.self) {
      try await SystemResolver().addresses(of: Endpoint("a..b"), on: loop).get()
    }
    #expect(failure?.description == "the name is not known")
  }
}

/// Measures for how long this process got no time of the machine.
private struct Standstill {
  private let watch: Task<Duration, Never>

  init() {
    watch = Task.detached {
      var longest = Duration.zero
      var last = ContinuousClock.now
      while !Task.isCancelled {
        try? await Task.sleep(for: .milliseconds(10))
        longest = max(longest, ContinuousClock.now - last)
        last = .now
      }
      return longest
    }
  }

  func longest() async -> Duration {
    watch.cancel()
    return await watch.value
  }
}
