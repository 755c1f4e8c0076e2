import LatchkeyClient
import NIOCore
import NIOPosix
import Synchronization

/// A whole run: connect, claim what the load needs, warm up, measure, clean up.
struct LoadRun: Sendable {
  struct Settings: Sendable {
    var threads = 1
    var warmup = Duration.seconds(1)
    var length = Length.duration(.seconds(10))
    var timeout = Duration.seconds(5)
    /// Whether the keys stay claimed at the end, until their leases end.
    var keepsKeys = false
  }

  /// When the measurement ends.
  enum Length: Equatable, Sendable {
    case duration(Duration)
    /// Requests of all connections together.
    case requests(Int)
  }

  /// What came of it.
  struct Outcome: Sendable {
    var record: LoadRecord
    var elapsed: Duration
    /// Keys that are still claimed, or may be.
    var heldKeys: Int
    var wasInterrupted: Bool
  }

  private static let progressInterval = Duration.seconds(1)

  let workload: Workload
  let settings: Settings
  let endpoints: [Endpoint]
  let tls: LatchkeyClient.TLS
  let token: BearerToken?
  let progress: LoadProgress

  /// - Parameter interruption: Ends the measurement early, and gives what there is.
  func run(_ interruption: Interruption) async throws -> Outcome {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
    do {
      let outcome = try await run(on: group, interruption)
      try await group.shutdownGracefully()
      return outcome
    } catch {
      try? await group.shutdownGracefully()
      throw error
    }
  }

  private func run(
    on group: MultiThreadedEventLoopGroup, _ interruption: Interruption
  ) async throws -> Outcome {
    let connections = try await connect(on: group)
    if workload.mix.turnover == 0 {
      progress.say("claiming \(workload.keys) keys")
      try await all(connections) { $0.pass(toHold: true) }
      let held = try await held(by: connections)
      if held < workload.keys {
        progress.warn("only \(held) of \(workload.keys) keys could be claimed")
      }
    }
    let loads = connections.map { $0.load() }
    interruption.onRequest { for connection in connections { connection.stop() } }
    progress.say("warming up")
    await interruption.sleep(for: settings.warmup)

    let start = NIODeadline.now()
    for (index, connection) in connections.enumerated() {
      connection.record(budget: budget(ofConnection: index))
    }
    let watch = Task { try await self.watch(connections, from: start, interruption) }
    for load in loads { try await load.get() }
    let elapsed = Duration.nanoseconds((NIODeadline.now() - start).nanoseconds)
    watch.cancel()
    _ = await watch.result

    if !settings.keepsKeys {
      progress.say("releasing the keys")
      try await all(connections) { $0.pass(toHold: false) }
    }
    let outcome = Outcome(
      record: try await record(of: connections), elapsed: elapsed,
      heldKeys: try await held(by: connections), wasInterrupted: interruption.isRequested)
    for connection in connections { await connection.close() }
    progress.end()
    return outcome
  }

  private func connect(on group: MultiThreadedEventLoopGroup) async throws -> [LoadConnection] {
    let loops = (0..<settings.threads).map { _ in group.next() }
    let recorders = loops.map { _ in LoadRecorder() }
    var connections: [LoadConnection] = []
    for index in 0..<workload.connections {
      let endpoint = endpoints[index % endpoints.count]
      let connection: RawConnection
      do {
        connection = try await RawConnection.connect(
          to: endpoint, tls, token: token, on: loops[index % loops.count],
          connectTimeout: settings.timeout)
      } catch {
        for connection in connections { await connection.close() }
        throw Failure(.unavailable, "cannot connect to \(endpoint): \(error)")
      }
      let first = index * workload.streams
      connections.append(
        LoadConnection(
          connection, slots: first..<first + workload.streams, workload: workload,
          recorder: recorders[index % loops.count],
          answerTimeout: TimeAmount(settings.timeout)))
    }
    return connections
  }

  private func budget(ofConnection index: Int) -> Int? {
    guard case .requests(let count) = settings.length else { return nil }
    return count / workload.connections + (index < count % workload.connections ? 1 : 0)
  }

  /// Reports each second and stops the load when its time is over.
  private func watch(
    _ connections: [LoadConnection], from start: NIODeadline, _ interruption: Interruption
  ) async throws {
    var last = (time: Duration.zero, succeeded: 0)
    while true {
      let elapsed = Duration.nanoseconds((NIODeadline.now() - start).nanoseconds)
      var pause = Self.progressInterval
      if case .duration(let duration) = settings.length {
        guard elapsed < duration else { break }
        pause = min(pause, duration - elapsed)
      }
      try await TaskPool.sleep(for: pause)
      let counts = try await counts(of: connections)
      let now = Duration.nanoseconds((NIODeadline.now() - start).nanoseconds)
      progress.report(
        seconds: now / .seconds(1),
        perSecond: Double(counts.succeeded - last.succeeded) / ((now - last.time) / .seconds(1)),
        failed: counts.failed)
      last = (now, counts.succeeded)
    }
    for connection in connections { connection.stop() }
  }

  // MARK: - Over all connections

  private func all(
    _ connections: [LoadConnection],
    _ phase: @Sendable (LoadConnection) -> EventLoopFuture<Void>
  ) async throws {
    for future in connections.map(phase) { try await future.get() }
  }

  /// The first connections, one for each event loop: those of one loop share a recorder.
  private func counts(of connections: [LoadConnection]) async throws -> (
    succeeded: Int, failed: Int
  ) {
    var sum = (succeeded: 0, failed: 0)
    for connection in connections.prefix(settings.threads) {
      let counts = try await connection.counts().get()
      sum.succeeded += counts.succeeded
      sum.failed += counts.failed
    }
    return sum
  }

  private func record(of connections: [LoadConnection]) async throws -> LoadRecord {
    var record = LoadRecord()
    for connection in connections.prefix(settings.threads) {
      record.merge(try await connection.record().get())
    }
    return record
  }

  private func held(by connections: [LoadConnection]) async throws -> Int {
    var count = 0
    for connection in connections { count += try await connection.heldKeys().get() }
    return count
  }
}

extension TimeAmount {
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}
