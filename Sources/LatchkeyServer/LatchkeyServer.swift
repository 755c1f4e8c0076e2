import Glibc
import HTTP
import LockCore
import Logging
package import Metrics
import NIOCore
import NIOPosix
import HTTPServer
import ServiceLifecycle
package import Storage
import Exclusion
import struct Synchronization.Atomic
import WireSchema

/// A lock server: listens, serves until it is told to stop, then finishes what it has in hand.
///
/// ```swift
/// let server = try LatchkeyServer(configuration, engine: SQLiteEngine(path: "latchkey.db"), …)
/// let address = try await server.start()
/// try await server.run()
/// ```
package final class LatchkeyServer: Service {
  private let configuration: ServerConfiguration
  private let logger: Logger
  private let store: Store
  private let metrics: ServerMetrics
  private let fleet: Fleet
  private let events: EventAccount
  private let operations: Operations
  /// Nil where no TLS is spoken.
  private let certificates: CertificateWatch?
  /// The files that say who may do what; empty where everybody may do everything.
  private let rules: [Reload]
  private let unprovable: UnprovableNames?
  private let group: MultiThreadedEventLoopGroup
  private let loops: [EventLoopContext]
  /// Makes what is offered, of a range of wire versions and the reason for it.
  private let makeOffer: @Sendable (WireRange, String) -> WireOffer
  private let memory: ServerMemory
  private let surroundings: ConnectionSurroundings
  private let connectionCount = Atomic<Int>(0)
  private let unixPeers = UnixPeer()
  private let listening = Mutex<[Listening]>([])
  /// Told when the last connection is gone while the server drains.
  private let drained: EventLoopPromise<Void>
  private let isLeaving = Atomic<Bool>(false)
  private let isDraining = Atomic<Bool>(false)

  /// Opens the store.
  ///
  /// - Parameter metricsText: Writes all metrics for /metrics; nil leaves that path out.
  /// - Throws: ``StoreError`` where the store cannot be opened or is not for this server.
  package init(
    _ configuration: ServerConfiguration, engine: any StoreEngine, metrics: any MetricsFactory,
    metricsText: (@Sendable () -> String)?
  ) throws(StoreError) {
    self.configuration = configuration
    logger = configuration.logger
    let clock = configuration.clock
    let serverMetrics = ServerMetrics(factory: metrics, logger: configuration.logger)
    let fleet = Fleet(configuration, metrics: serverMetrics)
    let events = EventAccount(of: configuration.serverID, configuration.audit)
    self.events = events
    let store = try Store(
      engine: engine, limits: configuration.store, clock: clock,
      observer: Observer(
        metrics: serverMetrics, fleet: fleet, events: events))
    self.metrics = serverMetrics
    surroundings = ConnectionSurroundings(
      serverID: configuration.serverID, random: configuration.random, metrics: serverMetrics,
      failures: ConnectionFailures(factory: metrics, logger: configuration.logger),
      logger: configuration.logger)
    certificates = configuration.tls.map {
      CertificateWatch(
        $0, metrics: serverMetrics, logger: configuration.logger, events: events)
    }
    rules =
      configuration.access.map { access in
        access.parts.map {
          Reload(of: $0, access, logger: configuration.logger, events: events)
        }
      } ?? []
    unprovable = configuration.access.map { UnprovableNames(configuration, of: $0) }
    if configuration.audit != nil { serverMetrics.droppedAuditLines(0) }
    configuration.audit?.reportDrops { [serverMetrics] in serverMetrics.droppedAuditLines($0) }
    self.fleet = fleet
    self.store = store
    operations = Operations(
      fleet: fleet, events: events, metricsText: metricsText)
    group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
    var http1 = configuration.http1
    var http2 = configuration.http2
    http1.requestBodyBytesMax = configuration.limits.bodyBytesMax
    http2.requestBodyBytesMax = configuration.limits.bodyBytesMax
    // Room for several of the largest at once.
    http2.bufferedRequestBytesMax = max(
      http2.bufferedRequestBytesMax, 4 * configuration.limits.bodyBytesMax)
    let grease = Grease(source: configuration.random)
    let memory = ServerMemory(connectionArrivalBytesMax: http2.bufferedRequestBytesMax)
    self.memory = memory
    makeOffer = { [http1, http2] range, reason in
      WireOffer(range, reason: reason) {
        ServerPipeline(
          http2: http2, http1: http1, grease: grease, arrivals: memory.arrivals,
          answers: memory.answers, answer: $0)
      }
    }
    let own = FleetView([FleetView.Member]()).offer(of: WireVersions.spoken)
    let offer = makeOffer(own.range, own.reason)
    loops = group.makeIterator().map {
      EventLoopContext(
        eventLoop: $0, store: store, clock: clock, offer: offer, longAnswers: memory.longAnswers,
        bodyBytesMax: configuration.limits.bodyBytesMax)
    }
    drained = group.next().makePromise()
  }

  /// Binds and begins to serve; where it cannot, it stops for good.
  ///
  /// - Returns: The addresses in the order of the listeners, as ``Listener/address(port:)`` writes them.
  /// - Throws: ``ListenError`` where an address is in use or not to be had.
  package func start() async throws -> [String] {
    do {
      return try await begin()
    } catch {
      drained.succeed()
      await stop()
      throw error
    }
  }

  private func begin() async throws -> [String] {
    for loop in loops { try await loop.eventLoop.submit { loop.start() }.get() }
    // What is offered to the first client is what the fleet can do.
    await lookAtFleet()
    let quotas = Quotas()
    if configuration.listeners.contains(where: \.isUnix) { unixPeers.start() }
    let routers = LoopLocal(
      loops.map { loop in
        Router(
          loop: loop, operations: operations,
          doorkeeper: Doorkeeper(configuration.access, quotas: quotas) { Int64(time(nil)) },
          events: events,
          metrics: metrics,
          bodyBytesMax: configuration.limits.bodyBytesMax)
      }, loops: loops)
    for listener in configuration.listeners {
      do {
        let new = try await listen(at: listener, routers)
        listening.withLock { $0.append(new) }
      } catch {
        throw ListenError(address: listener.address(), cause: error)
      }
    }
    let addresses = listening.withLock { $0.map(\.address) }
    fleet.listens(on: addresses.joined(separator: ", "))
    keepPresence()
    watchFiles()
    memory.keepSmall(
      loops[0], connectionCount: { [self] in connectionCount.load(ordering: .relaxed) },
      trim: configuration.trimMemory)
    events.changed(
      "started",
      [
        "release": "\(Release.version)", "store": "\(store.location)",
        "policy": "\(configuration.access?.current.policy != nil)",
      ])
    for address in addresses {
      logger.info("listening", metadata: ["address": "\(address)", "store": "\(store.location)"])
    }
    if let rules = configuration.access?.current, rules.policy == nil {
      logger.warning(
        "there is no policy: everybody may do everything, whatever they prove, until --policy says who may do what"
      )
    }
    unprovable?.say()
    for listener in configuration.listeners where listener.isExposed {
      logger.warning(
        "clear text is spoken at an address that others can reach: whoever is on the way can read and change it",
        metadata: ["address": "\(listener.address())"])
    }
    return addresses
  }

  /// A listener that is open.
  private struct Listening {
    let listener: Listener
    let channel: any Channel
    /// The file of a socket in the file system.
    let file: UnixSocket.FileID?

    var address: String { listener.address(port: channel.localAddress?.port) }

    func close() async {
      // Before it is free for another one to be taken for it.
      if case .unix(let socket) = listener.place { socket.remove(ifIs: file) }
      try? await channel.close()
    }
  }

  private func listen(
    at listener: Listener, _ routers: LoopLocal<Router>
  ) async throws -> Listening {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: configuration.limits.backlog)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      // Who connects waits behind all who did before: many are taken in each pass.
      .serverChannelOption(.maxMessagesPerRead, value: 64)
      .serverChannelInitializer { [failures = surroundings.failures] channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(AcceptPause(failures: failures))
        }
      }
      // NIO keeps what a connection reads into, however long nothing comes.
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 1_024, initial: 2_048, maximum: 8_192)
      )
      // One look at a socket brings no more than the handlers can do at once (``PacedReads``).
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { [self] channel in
        // Counted before it is known who it is, which may take long.
        guard let room = count(channel, at: listener) else {
          return channel.eventLoop.makeSucceededVoidFuture()
        }
        guard listener.isUnix else {
          return channel.eventLoop.makeCompletedFuture {
            try setUp(channel, at: listener, room, .nothing, routers)
          }
        }
        return unixPeers.proof(of: channel).flatMapThrowing { [self] proof in
          try setUp(channel, at: listener, room, proof, routers)
        }
      }
    switch listener.place {
    case .tcp(let host, let port):
      let channel = try await bootstrap.bind(host: host, port: port).get()
      return Listening(listener: listener, channel: channel, file: nil)
    case .unix(let socket):
      let channel = try await bootstrap.withBoundSocket(try socket.bind()).get()
      return Listening(listener: listener, channel: channel, file: socket.fileID)
    }
  }

  /// Which store this server is on; empty where that is away since the start.
  package var storeID: String { fleet.storeID }

  /// Serves until the surrounding task is cancelled or a graceful shutdown is asked for, then drains.
  package func run() async throws {
    await withTaskCancellationOrGracefulShutdownHandler {
      try? await drained.futureResult.get()
    } onCancelOrGracefulShutdown: {
      self.beginToLeave()
    }
    await stop()
    events.changed("stopped", [:])
    flushAudit()
  }

  /// Waits until the account is written, or says that it is not.
  package func flushAudit() {
    guard let audit = configuration.audit else { return }
    if !audit.flush(nanoseconds: configuration.limits.storeTimeout.nanoseconds) {
      logger.error("the audit log cannot be written: its last lines are lost")
    }
  }

  // MARK: - Connections

  /// NIO closes a connection of which this fails, and tells nobody. The same is true of options that
  /// it is given to set, so they are set here as well.
  private func setUp(
    _ channel: any Channel, at listener: Listener, _ room: Connection.Room, _ proof: Proof,
    _ routers: LoopLocal<Router>
  ) throws {
    do {
      try accept(channel, at: listener, room, proof, routers)
    } catch {
      surroundings.failures.note(.setup, peer: channel.remoteAddress, error: error)
      throw error
    }
  }

  /// Takes account of a connection.
  ///
  /// - Returns: For what there is room; nil where there are as many as may be: then it is closed.
  private func count(_ channel: any Channel, at listener: Listener) -> Connection.Room? {
    let limits = configuration.limits
    let count = connectionCount.wrappingAdd(1, ordering: .relaxed).newValue
    channel.closeFuture.whenComplete { [self] _ in connectionClosed() }
    guard count > limits.connectionsMax else { return .everything }
    if listener.purpose != .operations { metrics.refusedConnection(max: limits.connectionsMax) }
    if count <= limits.connectionsMax + limits.watchersMax { return .watching }
    channel.close(promise: nil)
    return nil
  }

  private func accept(
    _ channel: any Channel, at listener: Listener, _ room: Connection.Room, _ proof: Proof,
    _ routers: LoopLocal<Router>
  ) throws {
    let loop = loops.first { $0.eventLoop === channel.eventLoop }!
    precondition(!listener.isSecure || configuration.tls != nil, "TLS without a certificate")
    if case .tcp = listener.place { try TCPKeepAlive.set(on: channel) }
    let connection = Connection(
      over: channel, for: listener.purpose, room, proof, loop, routers[channel.eventLoop],
      surroundings)
    loop.opened(connection)
    let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
    channel.closeFuture.whenComplete { _ in loop.closed(bound.value) }
    try loop.offer.pipeline.configure(
      channel, tls: listener.isSecure ? configuration.tls : nil, receiver: connection,
      turns: loop.turns, handshakes: loop.handshakes, events: connection)
  }

  private func connectionClosed() {
    let left = connectionCount.wrappingSubtract(1, ordering: .relaxed).newValue
    if left == 0, isDraining.load(ordering: .relaxed) { drained.succeed() }
  }

  // MARK: - What is read again

  private var readsAgain: Bool { certificates != nil || !rules.isEmpty }

  private func watchFiles() {
    guard readsAgain else { return }
    let loop = loops[0]
    loop.eventLoop.execute { [self] in
      loop.repeats(every: .seconds(Reload.interval)) { [self] in look(isAsked: false) }
    }
  }

  /// Reads again at once what is read again where it changes.
  ///
  /// - Returns: Whether there is anything of that kind.
  package func reload() -> Bool {
    if let audit = configuration.audit {
      NIOThreadPool.singleton.submit { _ in audit.reopen() }
    }
    guard readsAgain else { return configuration.audit != nil }
    look(isAsked: true)
    return true
  }

  private func look(isAsked: Bool) {
    NIOThreadPool.singleton.submit { [certificates, rules, unprovable] _ in
      for file in rules { file.look(isAsked: isAsked) }
      unprovable?.say()
      certificates?.look(isAsked: isAsked, at: Int64(time(nil)))
    }
  }

  // MARK: - The fleet

  private func keepPresence() {
    let loop = loops[0]
    loop.eventLoop.execute { [self] in
      loop.repeats(every: Fleet.look) { [self] in fleet.announce(loop) }
      loop.repeats(every: Fleet.look) { [self] in fleet.look(loop) { self.offer($0) } }
    }
  }

  private func lookAtFleet() async {
    let loop = loops[0]
    await withCheckedContinuation { continuation in
      loop.eventLoop.execute { [self] in
        fleet.look(loop) { looked in
          self.offer(looked)
          continuation.resume()
        }
      }
    }
  }

  /// Offers these wire versions from now on, if they are not offered already.
  private func offer(_ looked: (range: WireRange, reason: String)?) {
    let current = loops[0].offer
    guard let looked, looked != (current.range, current.reason) else { return }
    if looked.range != current.range {
      logger.notice(
        "other wire versions are offered",
        metadata: ["wire": "\(looked.range)", "reason": "\(looked.reason)"])
    }
    let offer = makeOffer(looked.range, looked.reason)
    for loop in loops {
      loop.eventLoop.execute { loop.change(offer) }
    }
  }

  // MARK: - The end

  /// Says that it will end, to those who ask, and goes on until they have had time to.
  private func beginToLeave() {
    guard !isLeaving.exchange(true, ordering: .relaxed) else { return }
    for loop in loops { loop.eventLoop.execute { loop.isLeaving = true } }
    let delay = configuration.limits.drainDelay
    guard delay > .zero else { return beginDrain() }
    logger.notice(
      "told to end: /readyz says so, and everything else goes on for a while",
      metadata: ["seconds": "\(delay.nanoseconds / 1_000_000_000)"])
    drained.futureResult.eventLoop.scheduleTask(in: delay) { [self] in beginDrain() }
  }

  /// Lets clients go: /readyz says 503, HTTP/2 connections get GOAWAY, and what is in flight is
  /// answered. New connections are still accepted, to be told the same.
  private func beginDrain() {
    guard !isDraining.exchange(true, ordering: .relaxed) else { return }
    logger.notice("shutting down")
    // Who waits shall wait elsewhere.
    store.endWaits()
    for loop in loops { loop.eventLoop.execute { loop.beginDrain() } }
    // After every loop has begun: connections that are closing by then are counted as closed.
    let begun = loops.map { $0.eventLoop.submit {} }
    EventLoopFuture.andAllComplete(begun, on: drained.futureResult.eventLoop).whenComplete { _ in
      if self.connectionCount.load(ordering: .relaxed) == 0 { self.drained.succeed() }
    }
    drained.futureResult.eventLoop.scheduleTask(in: configuration.limits.drainTimeout) { [self] in
      if connectionCount.load(ordering: .relaxed) > 0 {
        logger.warning("some requests were not finished in time")
      }
      drained.succeed()
    }
  }

  private func stop() async {
    for listening in listening.withLock({ $0 }) { await listening.close() }
    let loop = loops[0]
    let deadline = configuration.clock() + configuration.limits.storeTimeout.nanoseconds
    let left = loop.eventLoop.makePromise(of: Void.self)
    loop.eventLoop.execute { [fleet] in fleet.leave(loop, by: deadline) { left.succeed() } }
    try? await left.futureResult.get()
    for loop in loops { try? await loop.eventLoop.flatSubmit { loop.stop() }.get() }
    if await !closeStore() {
      logger.error("the store hangs; its threads end with the process")
    }
    try? await group.shutdownGracefully()
    await unixPeers.stop()
    logger.notice("stopped")
  }

  /// Returns whether the store's threads ended in time.
  private func closeStore() async -> Bool {
    let isDecided = Atomic<Bool>(false)
    return await withCheckedContinuation { continuation in
      let decide: @Sendable (Bool) -> Void = { isClosed in
        if !isDecided.exchange(true, ordering: .relaxed) {
          continuation.resume(returning: isClosed)
        }
      }
      // Joining threads blocks: not on an event loop, nor on the cooperative pool.
      NIOThreadPool.singleton.submit { [store] _ in
        store.shutdown()
        decide(true)
      }
      loops[0].eventLoop.scheduleTask(in: configuration.limits.storeTimeout) { decide(false) }
    }
  }
}

/// Why a server does not listen where it should.
package struct ListenError: Error {
  package let address: String
  package let cause: any Error
}

/// Hands what the store observes to those who want it.
private struct Observer: StoreObserver {
  let metrics: ServerMetrics
  let fleet: Fleet
  let events: EventAccount

  var wantsEvents: Bool { true }
  var refusal: StoreError? { events.refusal }
  func happened(_ events: [GrantEvent], isCertain: Bool) -> Bool {
    self.events.note(events, isCertain: isCertain)
  }
  func madeStore() { metrics.madeStore() }
  func committed(commands: Int, expiries: Int, nanoseconds: Int64) {
    metrics.committed(commands: commands, expiries: expiries, nanoseconds: nanoseconds)
  }
  func failed(_ error: StoreError) {
    metrics.failed(error)
    fleet.noteFailure(error)
  }
  func conflicted() { metrics.conflicted() }
  func historyChanged() { metrics.historyChanged() }
  func wentBack(putBack: Int) { metrics.wentBack(putBack: putBack) }
  func recovered() { metrics.recovered() }
  func outageEnded() {
    metrics.outageEnded()
    fleet.noteOutageEnded()
  }
  func scanned() { metrics.scanned() }
  func scanFailed(_ error: StoreError) { metrics.scanFailed(error) }
  func holding(locks: Int, presences: Int) {
    metrics.holding(locks: locks, presences: presences)
    fleet.note(locks: locks, presences: presences)
  }
  func waiting(_ count: Int) { metrics.waiting(count) }
  func stallBegan(nanoseconds: Int64) { metrics.stallBegan(nanoseconds: nanoseconds) }
  func stalled(nanoseconds: Int64, isOfStore: Bool) {
    metrics.stalled(nanoseconds: nanoseconds, isOfStore: isOfStore)
  }
  func skipped(damage: String, untold: Int?) { metrics.skipped(damage: damage, untold: untold) }
  func collected(rows: Int) { metrics.collected(rows: rows) }
  func upkeepFailed(_ error: StoreError) { metrics.upkeepFailed(error) }
  func filled(rows: Int) { metrics.filled(rows: rows) }
  func gaveUpShapes(before shape: Int64) { metrics.gaveUpShapes(before: shape) }
  func remarked(_ remark: String) { metrics.remarked(remark) }
  func logTakes(bytes: Int64) { metrics.logTakes(bytes: bytes) }
  func logIsLong(bytes: Int64) { metrics.logIsLong(bytes: bytes) }
}
