import LockCore

/// The store's writing side: takes what is waiting, does it in one transaction, and answers after
/// the commit. It also ends leases, since only here is known what was committed when.
///
/// Everything happens in ``turn(_:)``, on one thread, so the order is plain: first the commands that
/// were waiting, then the leases that are over.
final class CommandWriter {
  enum Item: Sendable {
    case command(Command, deadline: MonotonicTime?, call: any StoreCall)
    /// What a scan found: states that other servers wrote, or that were there before the start.
    case seen([SeenLease])
    case scanEnded(nanoseconds: Int64, isComplete: Bool)
    /// Another server has changed something at keys that are waited for.
    case changed(keys: [String])
    /// All keys that are waited for were looked at.
    case lookEnded(nanoseconds: Int64, isComplete: Bool)
    /// A thread that serves clients.
    case pulse(Pulse)
    /// Nobody waits for the result of a call any more, which may be in the waiting room.
    case abandoned(any StoreCall)
    /// A sign of life that was awaited.
    case heard(WaitingPeer)
    /// A question for a sign of life that did not get to whom it was for.
    case notAsked(WaitingPeer)
    /// Nobody is to wait any more.
    case endWaits
    /// Fence every server off that does not know a shape.
    case giveUpShapes(Upkeep.GivingUp)

    /// What counts in ``StoreLimits/queueBytesMax``.
    var byteCount: Int {
      if case .command(let command, _, _) = self { command.byteCount } else { 0 }
    }
  }

  private let engine: any StoreEngine
  private let limits: StoreLimits
  private let clock: @Sendable () -> MonotonicTime
  private let observer: any StoreObserver
  private let startScan: () -> Void
  private let startLook: ([WaitedKey]) -> Void
  private let noteHealth: (StoreHealth) -> Void

  private var writer: (any StoreWriter)?
  private var reopenAfter: MonotonicTime
  private var latestError = StoreError.shuttingDown
  private var leases = LeaseTable()
  private var stalls: StallWatch
  private var collector: Collector
  private var upkeep: Upkeep
  private var scans: ScanSchedule
  private var pacer: CommitPacer
  private var logRelief: LogRelief
  private var pulses: [Pulse] = []
  private let waiting: WaitingRoom
  private var waitedKeys: WaitedKeys

  init(
    engine: any StoreEngine, writer: any StoreWriter, limits: StoreLimits,
    clock: @escaping @Sendable () -> MonotonicTime, observer: any StoreObserver,
    logGate: LogGate, startScan: @escaping () -> Void,
    startLook: @escaping ([WaitedKey]) -> Void, noteHealth: @escaping (StoreHealth) -> Void
  ) {
    self.engine = engine
    self.writer = writer
    self.limits = limits
    self.clock = clock
    self.observer = observer
    self.startScan = startScan
    self.startLook = startLook
    self.noteHealth = noteHealth
    let now = clock()
    reopenAfter = now
    stalls = StallWatch(limits: limits, now: now)
    collector = Collector(limits: limits, now: now)
    upkeep = Upkeep(limits: limits, shapes: engine.shapes, now: now)
    scans = ScanSchedule(limits: limits, now: now)
    pacer = CommitPacer(now: now)
    logRelief = LogRelief(limits: limits, gate: logGate, now: now)
    waiting = WaitingRoom(limits: limits, now: now)
    waitedKeys = WaitedKeys(limits: limits, now: now)
  }

  /// How long the thread lets what is `waiting` wait for more.
  func pauseNanoseconds(waiting: Int) -> Int64 {
    pacer.pauseNanoseconds(waiting: waiting, at: clock())
  }

  /// How long the thread may wait for items before the next turn.
  var waitNanoseconds: Int64 {
    let now = clock()
    var next = now + limits.tickNanoseconds
    if stalls.mayExpire(at: now), let look = leases.nextLook { next = min(next, look) }
    // While the store fails, nothing gets done sooner by looking more often than at every tick.
    if !stalls.isStoreFailing {
      next = min(next, collector.due, upkeep.due)
      if !waiting.isEmpty, let look = waitedKeys.due(at: now) { next = min(next, look) }
    }
    if let due = waiting.due { next = min(next, due) }
    return max(next - now, 0)
  }

  /// Does everything that is to be done now: `items`, in their order, and what time has brought.
  func turn(_ items: [Item]) {
    // One reading: leases are over as of a time at which this thread is known to have been awake.
    let now = clock()
    switch stalls.turn(at: now, pulses: pulses) {
    case .began(let nanoseconds): observer.stallBegan(nanoseconds: nanoseconds)
    case .ended(let nanoseconds): observer.stalled(nanoseconds: nanoseconds)
    case nil: break
    }

    var work = CommandBatch()
    var replies = ReplyBatch()
    waiting.turnBegan(at: now, wasStalled: stalls.isStalled)
    for (command, call) in waiting.takeEnded(at: now, limit: limits.batchMax) {
      work.append(command, call)
    }
    for item in items {
      switch item {
      case .command(_, let deadline?, let call) where deadline <= now:
        replies.add(.failure(.deadlinePassed), for: call)
      case .command(_, _, let call) where !call.isWanted:
        replies.add(.failure(.unwanted), for: call)
      case .command(let command, _, let call): work.append(command, call)
      case .seen(let seen): note(seen, at: now)
      case .scanEnded(let nanoseconds, let isComplete):
        scans.ended(at: now, nanoseconds: nanoseconds, isComplete: isComplete)
      case .changed(let keys): waitedKeys.add(keys)
      case .lookEnded(let nanoseconds, let isComplete):
        waitedKeys.lookEnded(at: now, nanoseconds: nanoseconds, isComplete: isComplete)
      case .pulse(let pulse): pulses.append(pulse)
      case .abandoned(let call): waiting.remove(call)
      case .heard(let peer): waiting.heard(peer)
      case .notAsked(let peer): waiting.notAsked(peer)
      case .endWaits:
        for call in waiting.close() { replies.add(.failure(.shuttingDown), for: call) }
      case .giveUpShapes(let order): upkeep.giveUp(order)
      }
    }
    // What is due is asked for only after what was waiting has been taken in.
    let due =
      stalls.mayExpire(at: now)
      ? leases.takeDue(
        at: now, limit: limits.expiriesMax, retryNanoseconds: limits.stallNanoseconds) : []

    var part = 0..<0
    var dueNow = due
    repeat {
      part = work.part(from: part.upperBound, keysMax: limits.batchMax)
      let results = run(work, part, due: dueNow, at: now)
      dueNow = []
      // Those who waited had their turn before those who came now.
      for (result, call) in waiting.commit() { replies.add(result, for: call) }
      for (index, result) in zip(part, results) {
        if let result { replies.add(result, for: work.calls[index]) }
      }
    } while part.upperBound < work.commands.count
    replies.deliver()
    waitedKeys.add(waiting.takeDecidedKeys())
    if stalls.outageEnded(at: now) { observer.outageEnded() }
    keepUp(at: now)
    observer.waiting(waiting.count)
    observer.holding(locks: leases.count(of: .lock), presences: leases.count(of: .presence))
  }

  private func note(_ seen: [SeenLease], at now: MonotonicTime) {
    for lease in seen {
      leases.see(
        id: lease.id, as: lease.sighting, lease: lease.lease, kind: lease.kind, in: .snapshot,
        at: now)
    }
  }

  // MARK: - Transactions

  /// Runs one transaction where there is anything to do, and gives each command its result; nil to one
  /// whose call waits, or has waited and is told by the waiting room.
  private func run(
    _ work: CommandBatch, _ part: Range<Int>, due: [LeaseTable.Due], at now: MonotonicTime
  ) -> [StoreResult?] {
    do throws(StoreError) {
      let writer = try openWriter(at: now)
      if scans.isDue(at: now), scans.shouldStart(changes: try writer.changesByOthers(), at: now) {
        startScan()
      }
      let collects = collector.due <= now
      let looked = try keysToLookAt(writer, at: now)
      guard
        !part.isEmpty || !due.isEmpty || collects || stalls.isStoreFailing || !looked.isEmpty
      else { return [] }
      do throws(StoreError) {
        return try transact(
          writer, work, part, due: due, looked: looked, collects: collects, start: now)
      } catch {
        waitedKeys.add(looked)
        throw error
      }
    } catch {
      failed(error, at: now)
      return part.map { _ in .failure(error) }
    }
  }

  /// The keys that are to be looked at in this transaction. Has a reader look for more where others wrote.
  private func keysToLookAt(
    _ writer: any StoreWriter, at now: MonotonicTime
  ) throws(StoreError) -> [String] {
    guard !waiting.isEmpty else { return [] }
    let isDue = try waitedKeys.shouldLook(at: now) { () throws(StoreError) in
      try writer.changesByOthers()
    }
    if isDue { startLook(waiting.keys.map { WaitedKey(key: $0.key, token: $0.token) }) }
    waitedKeys.add(waiting.takeDecidedKeys())
    return waitedKeys.take { waiting.keys.map(\.key) }
  }

  private func transact(
    _ writer: any StoreWriter, _ work: CommandBatch, _ part: Range<Int>, due: [LeaseTable.Due],
    looked: [String], collects: Bool, start: MonotonicTime
  ) throws(StoreError) -> [StoreResult?] {
    let commands = work.commands
    pacer.began(requests: part.count, at: start)
    let collectorBefore = collector
    do {
      try writer.begin()
      let meta = try writer.meta()
      try Fence.check(meta, engine)
      var batch = BatchTransaction(writer, meta: meta, waiting: waiting) { [unowned self] row in
        leases.nanosecondsLeft(of: row.id, as: row.record.sighting, at: start)
      }
      var keys = looked
      keys.reserveCapacity(looked.count + part.count)
      for index in part { commands[index].addKeys(to: &keys) }
      var slots = try batch.load(keys: keys)[...]
      let lookedSlots = slots.prefix(looked.count)
      batch.handOver(looked, slots: lookedSlots)
      slots = slots.dropFirst(looked.count)
      var results: [StoreResult?] = []
      results.reserveCapacity(part.count)
      for index in part {
        let keyCount = commands[index].keyCount
        let result = batch.apply(commands[index], slots: slots.prefix(keyCount))
        results.append(waits(result, commands[index], work.calls[index], at: start))
        slots = slots.dropFirst(keyCount)
      }
      let dueSlots = try batch.expire(due)
      try batch.write()
      // After a failure only a write that is committed shows that the store works again: a full
      // disk can still be read, and nobody may have anything else to write.
      if stalls.isStoreFailing { try writer.set(.epoch, to: meta.epoch) }
      let collected = collects ? try collector.step(writer, meta: meta, now: start) : []
      try writer.commit()
      committed(batch, due: due, dueSlots: dueSlots, commands: part.count, start: start)
      for (key, slot) in zip(looked, lookedSlots) {
        waiting.see(batch.slots[slot].row?.record.token, of: key)
      }
      if !collected.isEmpty { observer.collected(rows: collected.count) }
      return results
    } catch {
      writer.rollback()
      waiting.rollback()
      collector = collectorBefore
      throw error
    }
  }

  /// After the commands, and not while they fail.
  private func keepUp(at now: MonotonicTime) {
    guard !stalls.isStoreFailing, let writer else { return logRelief.giveUp() }
    logRelief.look(writer, at: now, observer: observer)
    guard upkeep.due <= now else { return }
    do throws(StoreError) {
      try upkeep.run(writer, engine, observer: observer, clock: clock)
    } catch {
      writer.rollback()
      if !writer.isUsable { self.writer = nil }
      observer.upkeepFailed(error)
    }
  }

  /// Lets a call that was refused wait, where it wants to: from here on, so that it is granted what is
  /// freed in this same transaction.
  ///
  /// - Returns: Nil where it waits, else its result.
  private func waits(
    _ result: StoreResult, _ command: Command, _ call: any StoreCall, at now: MonotonicTime
  ) -> StoreResult? {
    guard case .success(.refused(.heldByAnother, let state)) = result,
      case .claimWaiting(let key, let claim, let wait) = command, wait.end > now
    else { return result }
    return waiting.admit(key: key, claim, wait, call, state)
  }

  /// Notes what is now known of the rows, at a time after the commit: a lease never starts early.
  private func committed(
    _ batch: borrowing BatchTransaction, due: [LeaseTable.Due], dueSlots: [Int?], commands: Int,
    start: MonotonicTime
  ) {
    let now = clock()
    for slot in batch.slots {
      guard let row = slot.row, row.damage == nil else { continue }
      if row.isOfNewerServer {
        leases.see(
          id: row.id, as: row.record.sighting, lease: row.lease ?? .longest, kind: nil, at: now)
      } else if let holder = row.record.holder {
        leases.see(
          id: row.id, as: row.record.sighting, lease: holder.lease, kind: holder.kind, at: now)
      } else {
        leases.forget(id: row.id)
      }
    }
    for (due, slot) in zip(due, dueSlots) where slot == nil { leases.forget(id: due.id) }
    if stalls.storeWorked(at: now) {
      // A commit that failed may have been done: what it granted has to be watched.
      scans.invalidate()
      waitedKeys.invalidate()
      observer.recovered()
    }
    noteHealth(.working)
    if commands > 0 || batch.expired > 0 {
      observer.committed(
        commands: commands, expiries: batch.expired, nanoseconds: now - start)
    }
  }

  private func failed(_ error: StoreError, at now: MonotonicTime) {
    latestError = error
    _ = stalls.storeFailed()
    noteHealth(.failing(error))
    observer.failed(error)
    if let writer, !writer.isUsable {
      self.writer = nil
      reopenAfter = now + limits.reopenNanoseconds
    }
  }

  private func openWriter(at now: MonotonicTime) throws(StoreError) -> any StoreWriter {
    if let writer { return writer }
    guard now >= reopenAfter else { throw latestError }
    reopenAfter = now + limits.reopenNanoseconds
    let opened = try engine.openWriter()
    writer = opened
    // The change count of a new connection starts anew.
    scans.invalidate()
    waitedKeys.invalidate()
    return opened
  }
}
