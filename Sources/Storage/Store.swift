package import LockCore
import Exclusion
import struct Synchronization.Atomic

/// The durable table of locks that a server works on: commands in, decisions committed, results out.
///
/// One thread writes in batches (group commit), one answers for single keys, one for lists, one for lists of
/// one moment; and one does the upkeep where that keeps nobody from writing. A result is delivered only after
/// the commit that makes it true.
package final class Store: Sendable {
  private let engine: any StoreEngine
  private let limits: StoreLimits
  private let commands: BatchQueue<CommandWriter.Item>
  private let commandBytes = Atomic<Int>(0)
  private let pointQueries: BatchQueue<SnapshotReader.Item>
  private let lists: ListTurns<SnapshotReader.LongItem>
  private let upkeepOrders: BatchQueue<Upkeep.GivingUp>
  private let momentLists: ListTurns<SnapshotReader.LongItem>
  private let logGate = LogGate()
  private let threads = Mutex<[BlockingThread]>([])
  private let clock: @Sendable () -> MonotonicTime
  private let latestHealth = Mutex(StoreHealth.working)
  private let latestRemarks = Mutex<[String]>([])
  private let writingPulse: Pulse
  private let isEnding = Atomic<Bool>(false)

  package var location: String { engine.location }

  /// How long whoever asks should wait for an answer that takes no time by itself; nil for as long as it takes.
  package let patienceNanoseconds: Int64?

  /// What whoever runs the server should know of the database, as of the latest connection.
  package var remarks: [String] { latestRemarks.withLock(\.self) }

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
  /// - Throws: ``StoreError`` as ``StoreEngine/openWriter(for:)`` does.
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
    upkeepOrders = BatchQueue(capacity: 1)
    self.clock = clock
    patienceNanoseconds = engine.isRemote ? limits.patienceNanoseconds : nil
    writingPulse = Pulse(at: clock())
    let connections = try Connections(engine)
    noteRemarks(observer)
    if connections.writer?.hasMadeStore ?? false { observer.madeStore() }
    start(connections, observer: observer)
  }

  /// Says what is new of them.
  private func noteRemarks(_ observer: any StoreObserver) {
    let remarks = engine.remarks()
    let known = latestRemarks.withLock { latest in
      defer { latest = remarks }
      return latest
    }
    for remark in remarks where !known.contains(remark) { observer.remarked(remark) }
  }

  /// The connections on their way to their threads.
  ///
  /// `@unchecked Sendable`: made by one thread, then each used by the one thread it is handed to.
  private final class Connections: @unchecked Sendable {
    private(set) var writer: (any StoreWriter)?
    private(set) var point: (any StoreReader)?
    private(set) var long: (any StoreReader)?
    /// Why there are none.
    private(set) var absence = StoreError.shuttingDown

    /// A database on another machine may come later.
    init(_ engine: any StoreEngine) throws(StoreError) {
      do throws(StoreError) {
        writer = try engine.openWriter()
        point = try engine.openReader()
        long = try engine.openReader()
      } catch {
        guard engine.isRemote, error.code == .unavailable else { throw error }
        absence = error
      }
    }
  }

  /// A way to open connections that keeps nobody waiting for long.
  private func opening<Connection>(
    tried: @escaping @Sendable () -> Void = {},
    _ open: @escaping @Sendable () throws(StoreError) -> Connection
  ) -> () throws(StoreError) -> Connection? {
    guard engine.isRemote else { return { () throws(StoreError) in try open() } }
    let opening = ConnectionOpening(
      patienceNanoseconds: limits.openingPatienceNanoseconds, tried: tried, open)
    return { () throws(StoreError) in try opening.take() }
  }

  private func start(_ connections: Connections, observer: any StoreObserver) {
    let damage = DamageReports()
    let openReader: @Sendable () throws(StoreError) -> any StoreReader = {
      [engine] () throws(StoreError) in try engine.openReader()
    }
    let isEnding: @Sendable () -> Bool = { [self] in self.isEnding.load(ordering: .relaxed) }
    let writing = BlockingThread { [self] in
      let openWriter = opening(tried: { [commands] in commands.appendAlways(.opened) }) {
        [engine] () throws(StoreError) in try engine.openWriter()
      }
      let writer = CommandWriter(
        engine: engine, writer: connections.writer, absence: connections.absence,
        open: { [self] () throws(StoreError) in
          let opened = try openWriter()
          if let opened {
            noteRemarks(observer)
            if opened.hasMadeStore { observer.madeStore() }
          }
          return opened
        },
        limits: limits, clock: clock, observer: observer, logGate: logGate,
        // Before the lists that wait, which may take long.
        startScan: { [self] in lists.prepend(.scan(writer: commands)) },
        startLook: { [self] keys in
          pointQueries.appendAlways(
            .look(WaitedLook(keys: keys[...], writer: commands, queue: pointQueries)))
        },
        askForNews: { [self] mark in
          pointQueries.appendAlways(.news(since: mark, writer: commands))
        },
        noteHealth: { [self] health in latestHealth.withLock { $0 = health } },
        beat: { [self] now in writingPulse.beat(at: now) })
      while !commands.hasEnded {
        writingPulse.beat(at: clock())
        let company = writer.company(waiting: commands.count)
        commands.wait(for: 1, nanoseconds: writer.waitNanoseconds)
        if let company {
          commands.wait(for: company.count, nanoseconds: company.end - clock())
        }
        let items = commands.take(max: limits.batchMax, waitNanoseconds: 0)
        writingPulse.beat(at: clock())
        commandBytes.subtract(items.reduce(0) { $0 + $1.byteCount }, ordering: .relaxed)
        writer.turn(items)
      }
      // Nobody looks at the log any more.
      logGate.wantPause(false)
    }
    let pointReading = BlockingThread { [self] in
      let reader = SnapshotReader(
        engine: engine, reader: connections.point, open: opening(openReader), limits: limits,
        clock: clock, observer: observer, damage: damage)
      while !pointQueries.hasEnded {
        reader.turn(pointQueries.take(max: limits.batchMax, waitNanoseconds: nil))
      }
    }
    let longReading = BlockingThread { [self] in
      let reader = SnapshotReader(
        engine: engine, reader: connections.long, open: opening(openReader), limits: limits,
        clock: clock, observer: observer, damage: damage, isEnding: isEnding)
      while let (item, turn) = lists.take() {
        logGate.leaveRoom(waitNanosecondsMax: limits.logPauseNanoseconds)
        if reader.advance(item) { lists.ended(turn) } else { lists.putBack(item, turn) }
      }
    }
    let momentReading = BlockingThread { [self] in
      // Only v1 asks for such lists: the connection is opened with the first one.
      let reader = SnapshotReader(
        engine: engine, reader: nil, open: opening(openReader), limits: limits, clock: clock,
        observer: observer,
        damage: damage, isEnding: isEnding)
      while let (item, turn) = momentLists.take() {
        logGate.pass(waitNanosecondsMax: limits.logPauseNanoseconds) { _ = reader.advance(item) }
        momentLists.ended(turn)
      }
    }
    let caretaking = engine.keepsAccount ? startCaretaking(observer) : nil
    threads.withLock {
      $0 = [longReading, momentReading, pointReading, writing, caretaking].compactMap { $0 }
    }
  }

  private func startCaretaking(_ observer: any StoreObserver) -> BlockingThread {
    BlockingThread { [self] in
      let caretaker = Caretaker(
        engine: engine, limits: limits, clock: clock, observer: observer
      ) { [self] in noteRemarks(observer) }
      while !upkeepOrders.hasEnded {
        caretaker.turn(
          upkeepOrders.take(max: .max, waitNanoseconds: caretaker.waitNanoseconds))
      }
    }
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
    let order = Upkeep.GivingUp(shape: shape, neededRelease: release, deadline: deadline)
    if engine.keepsAccount {
      upkeepOrders.appendAlways(order)
    } else {
      commands.appendAlways(.giveUpShapes(order))
    }
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
    upkeepOrders.close()
    let threads = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    for thread in threads { thread.join() }
  }
}
