package import LockCore
import Synchronization

/// The durable table of locks that a server works on: commands in, decisions committed, results out.
///
/// Four threads: one writes in batches (group commit), one answers for single keys, one for lists,
/// one for lists of one moment. A result is delivered only after the commit that makes it true.
package final class Store: Sendable {
  private let engine: any StoreEngine
  private let limits: StoreLimits
  private let commands: BatchQueue<CommandWriter.Item>
  private let commandBytes = Atomic<Int>(0)
  private let pointQueries: BatchQueue<SnapshotReader.Item>
  private let lists: ListTurns<SnapshotReader.LongItem>
  private let momentLists: ListTurns<SnapshotReader.LongItem>
  private let logGate = LogGate()
  private let threads = Mutex<[BlockingThread]>([])
  private let clock: @Sendable () -> MonotonicTime
  private let latestHealth = Mutex(StoreHealth.working)
  private let writingPulse: Pulse
  private let isEnding = Atomic<Bool>(false)

  package var location: String { engine.location }

  /// What the latest transaction found, or that the one under way hangs.
  package var health: StoreHealth {
    let silence = writingPulse.silence(at: clock())
    guard silence < limits.hangNanoseconds else {
      return .failing(
        StoreError(
          .unavailable,
          "the store \(location) has not finished a write for \(silence / 1_000_000_000) s"))
    }
    return latestHealth.withLock { $0 }
  }

  /// Opens the database and starts the store's threads.
  ///
  /// - Parameter clock: A monotonic clock that stands still while the machine is suspended.
  /// - Throws: ``StoreError`` as ``StoreEngine/openWriter()`` does.
  package init(
    engine: any StoreEngine, limits: StoreLimits = StoreLimits(),
    clock: @escaping @Sendable () -> MonotonicTime, observer: any StoreObserver
  ) throws(StoreError) {
    self.engine = engine
    self.limits = limits
    commands = BatchQueue(capacity: limits.queueMax)
    pointQueries = BatchQueue(capacity: limits.queueMax)
    lists = ListTurns(capacity: limits.listsMax, ofSource: limits.listsOfConnectionMax)
    momentLists = ListTurns(capacity: limits.listsMax, ofSource: limits.listsOfConnectionMax)
    self.clock = clock
    writingPulse = Pulse(at: clock())
    let connections = Connections(
      writer: try engine.openWriter(), point: try engine.openReader(),
      long: try engine.openReader())
    for remark in engine.remarks() { observer.remarked(remark) }
    start(connections, observer: observer)
  }

  /// The connections on their way to their threads.
  ///
  /// `@unchecked Sendable`: made by one thread, then each used by the one thread it is handed to.
  private final class Connections: @unchecked Sendable {
    let writer: any StoreWriter
    let point: any StoreReader
    let long: any StoreReader

    init(writer: any StoreWriter, point: any StoreReader, long: any StoreReader) {
      self.writer = writer
      self.point = point
      self.long = long
    }
  }

  private func start(_ connections: Connections, observer: any StoreObserver) {
    let damage = DamageReports()
    let isEnding: @Sendable () -> Bool = { [self] in self.isEnding.load(ordering: .relaxed) }
    let writing = BlockingThread { [self] in
      let writer = CommandWriter(
        engine: engine, writer: connections.writer, limits: limits, clock: clock,
        observer: observer, logGate: logGate,
        // Before the lists that wait, which may take long.
        startScan: { [self] in lists.prepend(.scan(writer: commands)) },
        startLook: { [self] keys in
          pointQueries.appendAlways(
            .look(WaitedLook(keys: keys[...], writer: commands, queue: pointQueries)))
        },
        noteHealth: { [self] health in latestHealth.withLock { $0 = health } })
      while !commands.hasEnded {
        writingPulse.beat(at: clock())
        BlockingThread.sleep(
          nanoseconds: writer.pauseNanoseconds(waiting: commands.count))
        let items = commands.take(
          max: limits.batchMax, waitNanoseconds: writer.waitNanoseconds)
        writingPulse.beat(at: clock())
        commandBytes.subtract(items.reduce(0) { $0 + $1.byteCount }, ordering: .relaxed)
        writer.turn(items)
      }
      // Nobody looks at the log any more.
      logGate.wantPause(false)
    }
    let pointReading = BlockingThread { [self] in
      let reader = SnapshotReader(
        engine: engine, reader: connections.point, limits: limits, clock: clock,
        observer: observer, damage: damage)
      while !pointQueries.hasEnded {
        reader.turn(pointQueries.take(max: limits.batchMax, waitNanoseconds: nil))
      }
    }
    let longReading = BlockingThread { [self] in
      let reader = SnapshotReader(
        engine: engine, reader: connections.long, limits: limits, clock: clock,
        observer: observer, damage: damage, isEnding: isEnding)
      while let (item, turn) = lists.take() {
        logGate.leaveRoom(waitNanosecondsMax: limits.logPauseNanoseconds)
        if reader.advance(item) { lists.ended(turn) } else { lists.putBack(item, turn) }
      }
    }
    let momentReading = BlockingThread { [self] in
      // Only v1 asks for such lists: the connection is opened with the first one.
      let reader = SnapshotReader(
        engine: engine, reader: nil, limits: limits, clock: clock, observer: observer,
        damage: damage, isEnding: isEnding)
      while let (item, turn) = momentLists.take() {
        logGate.pass(waitNanosecondsMax: limits.logPauseNanoseconds) { _ = reader.advance(item) }
        momentLists.ended(turn)
      }
    }
    threads.withLock { $0 = [longReading, momentReading, pointReading, writing] }
  }

  /// Queues a change. `call` gets its result after the commit.
  ///
  /// - Parameter deadline: A command whose turn comes later is not done.
  package func submit(
    _ command: Command, deadline: MonotonicTime? = nil, call: any StoreCall
  ) {
    let item = CommandWriter.Item.command(command, deadline: deadline, call: call)
    let bytes = commandBytes.wrappingAdd(item.byteCount, ordering: .relaxed).newValue
    let admission = bytes <= limits.queueBytesMax ? commands.append(item) : .full
    if admission != .admitted { commandBytes.subtract(item.byteCount, ordering: .relaxed) }
    refuse(admission, call, waitingMax: limits.queueMax)
  }

  /// Queues a change that must not be lost and is rare, over the bounds as well.
  package func submitAlways(_ command: Command, call: any StoreCall) {
    let item = CommandWriter.Item.command(command, deadline: nil, call: call)
    commandBytes.add(item.byteCount, ordering: .relaxed)
    commands.appendAlways(item)
  }

  /// Queues a question. Its answer contains every change that was acknowledged before this call.
  ///
  /// - Parameter source: Whose question it is, such as a connection's: lists of different ones take turns.
  package func ask(
    _ query: Query, from source: ObjectIdentifier? = nil, deadline: MonotonicTime? = nil,
    call: any StoreCall
  ) {
    if case .list(let range, let sink) = query {
      let list = ListReading(range, into: sink, limits, deadline: deadline, call: call)
      let line = range.isOfOneMoment ? momentLists : lists
      refuse(line.append(.list(list), from: source), call, waitingMax: limits.listsMax)
    } else {
      let item = SnapshotReader.Item.query(query, deadline: deadline, call: call)
      refuse(pointQueries.append(item), call, waitingMax: limits.queueMax)
    }
  }

  private func refuse(_ admission: Admission, _ call: any StoreCall, waitingMax: Int) {
    let error: StoreError
    switch admission {
    case .admitted: return
    case .full:
      error = StoreError(
        .overloaded,
        "\(waitingMax) such requests, or \(limits.queueBytesMax) bytes of them, are waiting "
          + "for the store already")
    case .fullOfSource:
      error = StoreError(
        .overloaded, "\(limits.listsOfConnectionMax) lists of this connection are waiting already")
    case .closed: error = .shuttingDown
    }
    call.replyTarget.deliver([Reply(call: call, result: .failure(error))])
  }

  /// Nobody waits for the result of `call` any more: it is not to be granted anything, and its place
  /// among those who wait is free.
  package func abandon(_ call: any StoreCall) { commands.appendAlways(.abandoned(call)) }

  /// `peer` has shown life, and the store wanted to know.
  package func heard(_ peer: WaitingPeer) { commands.appendAlways(.heard(peer)) }

  /// `peer` was not asked for a sign of life: the call through which it was to be is over, and was
  /// answered or abandoned before.
  package func notAsked(_ peer: WaitingPeer) { commands.appendAlways(.notAsked(peer)) }

  /// Answers all calls that wait for a key, and lets none wait any more.
  package func endWaits() { commands.appendAlways(.endWaits) }

  /// Fences every server off that does not know `shape`. For good: nobody may need them any more.
  ///
  /// - Parameters:
  ///   - release: The release that a server must have at least, in words.
  ///   - deadline: Later it is not done any more: somebody may have come who needs it.
  package func giveUpShapes(
    before shape: Int64, neededRelease release: String, deadline: MonotonicTime
  ) {
    commands.appendAlways(
      .giveUpShapes(
        Upkeep.GivingUp(shape: shape, neededRelease: release, deadline: deadline)))
  }

  package var shapes: KnownShapes { engine.shapes }

  /// No lease ends while `pulse` has been silent for too long, and until its owner has caught up.
  package func watch(_ pulse: Pulse) { commands.appendAlways(.pulse(pulse)) }

  /// Does what is queued, but for lists, which may take long; then ends the threads and closes the
  /// connections. Blocks until then.
  package func shutdown() {
    isEnding.store(true, ordering: .relaxed)
    commands.close()
    pointQueries.close()
    lists.close()
    momentLists.close()
    let threads = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    for thread in threads { thread.join() }
  }
}
