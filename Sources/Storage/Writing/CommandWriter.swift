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
    ///
    /// - Parameter setbacks: As of when they were read (``StoreMeta/setbacks``).
    case seen([SeenLease], setbacks: Int64)
    case scanEnded(nanoseconds: Int64, isComplete: Bool)
    /// Another server has changed something at keys that are waited for.
    case changed(keys: [String])
    /// All keys that are waited for were looked at.
    case lookEnded(nanoseconds: Int64, isComplete: Bool)
    /// A connection was opened, or could not be.
    case opened
    /// What other servers have changed; nil where that could not be read.
    case news(ChangesByOthers?, nanoseconds: Int64)
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
  /// Nil while a connection is being opened.
  private let open: () throws(StoreError) -> (any StoreWriter)?
  private let limits: StoreLimits
  private let clock: @Sendable () -> MonotonicTime
  private let observer: any StoreObserver
  private let startScan: () -> Void
  private let startLook: ([WaitedKey]) -> Void
  private let askForNews: (ChangeMark?) -> Void
  private let noteHealth: (StoreHealth) -> Void
  /// Gives a sign of life between the transactions of a turn.
  private let beat: (MonotonicTime) -> Void
  /// Lets so many nanoseconds pass.
  private let sleep: (Int64) -> Void

  private var writer: (any StoreWriter)?
  private var reopenAfter: MonotonicTime
  private var latestError: StoreError
  private var leases = LeaseTable()
  private var stalls: StallWatch
  /// Nil where somebody else does it (``Caretaker``).
  private var upkeep: Upkeep?
  /// Why nothing is granted in this turn (``StoreObserver/refusal``).
  private var refusal: StoreError?
  private var scans: ScanSchedule
  private var news: NewsSchedule
  private var setback: Setback
  private var memory: RowMemory
  /// Until then others are taken to want the same rows.
  private var contentionEnd: MonotonicTime
  private var pacer: CommitPacer
  private var logRelief: LogRelief
  private var pulses: [Pulse] = []
  private let waiting: WaitingRoom
  private var waitedKeys: WaitedKeys
  /// Whether a reader has found that it has to be looked whether something is missing in the database.
  private var isPastInDoubt = false
  /// Whether it is not looked yet what it means that the connection was opened after the start.
  private var isReconnected = false

  /// - Parameters:
  ///   - writer: Its absence is for the reason that `absence` says.
  ///   - open: Gives another one; nil while it is being opened.
  init(
    engine: any StoreEngine, writer: (any StoreWriter)?,
    absence: StoreError = .shuttingDown,
    open: @escaping () throws(StoreError) -> (any StoreWriter)?, limits: StoreLimits,
    clock: @escaping @Sendable () -> MonotonicTime, observer: any StoreObserver,
    logGate: LogGate, startScan: @escaping () -> Void,
    startLook: @escaping ([WaitedKey]) -> Void, askForNews: @escaping (ChangeMark?) -> Void,
    noteHealth: @escaping (StoreHealth) -> Void,
    beat: @escaping (MonotonicTime) -> Void = { _ in },
    sleep: @escaping (Int64) -> Void = { BlockingThread.sleep(nanoseconds: $0) }
  ) {
    self.sleep = sleep
    self.engine = engine
    self.writer = writer
    self.open = open
    latestError = absence
    self.limits = limits
    self.clock = clock
    self.observer = observer
    self.startScan = startScan
    self.startLook = startLook
    self.askForNews = askForNews
    self.noteHealth = noteHealth
    self.beat = beat
    let now = clock()
    reopenAfter = now
    contentionEnd = now
    stalls = StallWatch(limits: limits, now: now)
    upkeep =
      engine.keepsAccount ? nil : Upkeep(limits: limits, shapes: engine.shapes, now: now)
    scans = ScanSchedule(limits: limits, now: now)
    news = NewsSchedule(limits: limits, now: now)
    setback = Setback(limits: limits, isPossible: engine.keepsAccount, now: now)
    memory = RowMemory(limits: limits)
    pacer = CommitPacer(
      now: now, isAcrossNetwork: engine.keepsAccount,
      requestsMax: min(limits.batchMax, limits.queueMax))
    logRelief = LogRelief(limits: limits, gate: logGate, now: now)
    waiting = WaitingRoom(limits: limits, now: now)
    waitedKeys = WaitedKeys(limits: limits, now: now)
  }

  /// For how many the thread lets what is `waiting` after a turn wait, and until when.
  func company(waiting: Int) -> (count: Int, end: MonotonicTime)? {
    pacer.company(waiting: waiting)
  }

  /// How long the thread may wait for items before the next turn.
  var waitNanoseconds: Int64 {
    let now = clock()
    var next = now + limits.tickNanoseconds
    if stalls.mayExpire(at: now), let look = leases.nextLook { next = min(next, look) }
    // While the store fails, nothing gets done sooner by looking more often than at every tick.
    if !stalls.isStoreFailing {
      if let upkeep { next = min(next, upkeep.due) }
      if !waiting.isEmpty, let look = waitedKeys.due(at: now) { next = min(next, look) }
    }
    if engine.keepsAccount, let ask = news.due(isAnyWaiting: !waiting.isEmpty) {
      next = min(next, ask)
    }
    if let due = waiting.due { next = min(next, due) }
    if let due = setback.due {
      next = min(next, writer == nil ? max(due, reopenAfter) : due)
    }
    return max(next - now, 0)
  }

  /// Does everything that is to be done now: `items`, in their order, and what time has brought.
  func turn(_ items: [Item]) {
    // One reading: leases are over as of a time at which this thread is known to have been awake.
    let now = clock()
    switch stalls.turn(at: now, pulses: pulses) {
    case .began(let nanoseconds): observer.stallBegan(nanoseconds: nanoseconds)
    case .ended(let nanoseconds, let isOfStore):
      observer.stalled(nanoseconds: nanoseconds, isOfStore: isOfStore)
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
      case .seen(let seen, let setbacks): note(seen, asOf: setbacks, at: now)
      case .scanEnded(let nanoseconds, let isComplete):
        scans.ended(at: now, nanoseconds: nanoseconds, isComplete: isComplete)
      case .changed(let keys): waitedKeys.add(keys)
      case .lookEnded(let nanoseconds, let isComplete):
        waitedKeys.lookEnded(at: now, nanoseconds: nanoseconds, isComplete: isComplete)
      case .news(let changes, let nanoseconds):
        news.ended(changes, at: now, nanoseconds: nanoseconds)
        if let changes { note(changes, at: now) }
      case .opened: break
      case .pulse(let pulse): pulses.append(pulse)
      case .abandoned(let call): waiting.remove(call)
      case .heard(let peer): waiting.heard(peer)
      case .notAsked(let peer): waiting.notAsked(peer)
      case .endWaits:
        for call in waiting.close() { replies.add(.failure(.shuttingDown), for: call) }
      case .giveUpShapes(let order): upkeep?.giveUp(order)
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
      part = work.part(
        from: part.upperBound, keysMax: limits.batchMax, bytesMax: limits.batchBytesMax)
      let start = part.lowerBound == 0 ? now : clock()
      let results = run(work, part, due: dueNow, at: start)
      let end = clock()
      stalls.waited(nanoseconds: end - start)
      beat(end)
      dueNow = []
      // Those who waited had their turn before those who came now.
      for (result, call) in waiting.commit() { replies.add(result, for: call) }
      for (index, result) in zip(part, results) {
        if let result { replies.add(result, for: work.calls[index]) }
      }
      replies.deliver()
    } while part.upperBound < work.commands.count
    waitedKeys.add(waiting.takeDecidedKeys())
    if stalls.outageEnded(at: now) { observer.outageEnded() }
    if engine.keepsAccount, let due = news.due(isAnyWaiting: !waiting.isEmpty), due <= now {
      news.ask()
      askForNews(news.mark)
    }
    keepUp(at: now)
    observer.waiting(waiting.count)
    observer.holding(locks: leases.count(of: .lock), presences: leases.count(of: .presence))
  }

  private func note(_ changes: ChangesByOthers, at now: MonotonicTime) {
    isPastInDoubt =
      changes.isPastInDoubt || setback.setbacks.map { $0 != changes.setbacks } ?? false
    let rows = changes.rows ?? []
    for row in rows { memory.forget(row.key) }
    note(rows.lazy.filter { !$0.isOver }.map(\.lease), asOf: changes.setbacks, at: now)
    if setback.setbacks ?? changes.setbacks == changes.setbacks {
      for freed in rows.lazy.filter(\.isOver).map(\.lease) {
        setback.forget(freed.id, asOf: freed.sighting.token)
        leases.forget(id: freed.id, asOf: freed.sighting)
      }
      for id in changes.gone {
        leases.forget(id: id)
        if let key = setback.forgetGone(id), waiting.isWaited(key) { waitedKeys.add([key]) }
      }
    }
    waitedKeys.add(rows.filter(waiting.isNews).map(\.key))
  }

  /// What is of another past is not seen; all is looked at anew when the store is open again.
  private func note(
    _ seen: some Sequence<SeenLease>, asOf setbacks: Int64, at now: MonotonicTime
  ) {
    guard !engine.keepsAccount || setback.setbacks ?? setbacks == setbacks else { return }
    for lease in seen {
      if engine.keepsAccount { noteForSetback(lease) }
      leases.see(
        id: lease.id, as: lease.sighting, lease: lease.lease, kind: lease.kind,
        identity: lease.identity ?? "", in: .snapshot, at: now)
    }
  }

  private func noteForSetback(_ lease: SeenLease) {
    setback.note(token: lease.sighting.token)
    guard let name = lease.name, let kind = lease.kind, let identity = lease.identity else {
      return
    }
    setback.note(
      Setback.Hold(
        key: name.key, owner: name.owner, kind: kind, lease: lease.lease, identity: identity,
        sighting: lease.sighting), of: lease.id)
  }

  private func noteForSetback(_ row: StoredRow) {
    setback.note(token: row.record.token)
    guard let holder = row.record.holder, !row.isOfNewerServer else {
      return setback.forget(row.id, asOf: row.record.token)
    }
    setback.note(
      Setback.Hold(
        key: row.record.key, owner: holder.owner, kind: holder.kind, lease: holder.lease,
        identity: holder.identity, sighting: row.record.sighting), of: row.id)
  }

  // MARK: - Transactions

  /// Runs one transaction where there is anything to do, and gives each command its result; nil to one
  /// whose call waits, or has waited and is told by the waiting room.
  private func run(
    _ work: CommandBatch, _ part: Range<Int>, due: [LeaseTable.Due], at now: MonotonicTime
  ) -> [StoreResult?] {
    do throws(StoreError) {
      let writer = try openWriter(at: now)
      // What changes while everything is read is news, from a mark that was there before.
      if scans.isDue(at: now), setback.isOpen, !engine.keepsAccount || news.mark != nil,
        scans.shouldStart(changes: try changesByOthers(writer), at: now)
      {
        startScan()
      }
      guard try recoveredFromSetback(writer, isAsked: !part.isEmpty, at: now) else {
        return part.map { [latestError] _ in .failure(latestError) }
      }
      let wasRefusing = refusal != nil
      refusal = observer.refusal
      // Who waits was passed over meanwhile.
      if wasRefusing, refusal == nil { waitedKeys.invalidate() }
      let looked = try keysToLookAt(writer, at: now)
      guard
        !part.isEmpty || !due.isEmpty || stalls.isStoreFailing || !looked.isEmpty
          || isPastInDoubt || isReconnected
      else { return [] }
      do throws(StoreError) {
        return try transact(writer, work, part, due: due, looked: looked, start: now)
      } catch {
        waitedKeys.add(looked)
        throw error
      }
    } catch {
      // Others were faster, again and again: the store works.
      if error.code != .conflict { failed(error, at: now) }
      return part.map { _ in .failure(error) }
    }
  }

  /// The keys that are to be looked at in this transaction. Has a reader look for more where others wrote.
  private func keysToLookAt(
    _ writer: any StoreWriter, at now: MonotonicTime
  ) throws(StoreError) -> [String] {
    guard !waiting.isEmpty else { return [] }
    let isDue = try waitedKeys.shouldLook(at: now) { () throws(StoreError) in
      try changesByOthers(writer)
    }
    if isDue { startLook(waiting.keys.map { WaitedKey(key: $0.key, token: $0.token) }) }
    waitedKeys.add(waiting.takeDecidedKeys())
    return waitedKeys.take {
      waiting.keys.map(\.key)
    } bytes: {
      waiting.byteCountOfFirst(of: $0)
    }
  }

  // MARK: - A database that has gone back in time

  /// - Returns: What has become of the past.
  private func look(
    at facts: Facts, _ writer: any StoreWriter, at now: MonotonicTime
  ) -> Setback.Verdict {
    defer { (isPastInDoubt, isReconnected) = (false, false) }
    guard engine.keepsAccount else { return .asBefore }
    let known = setback.setbacks
    let verdict = setback.look(at: facts, isNewConnection: isReconnected, at: now)
    if verdict == .toBeLookedThrough { writer.acceptPast() }
    if let known, known != setback.setbacks { observer.historyChanged() }
    return verdict
  }

  /// Goes on with what is to be done before clients' commands are.
  ///
  /// - Parameter isAsked: Whether there are any, so that it is looked at once.
  /// - Returns: Whether there is nothing more of that.
  private func recoveredFromSetback(
    _ writer: any StoreWriter, isAsked: Bool, at now: MonotonicTime
  ) throws(StoreError) -> Bool {
    for _ in 1...Setback.stepsOfTurnMax {
      guard let due = setback.due, due <= now || isAsked else { break }
      do throws(StoreError) {
        guard try goOnRecovering(writer, at: now) else { break }
      } catch {
        setback.failed(at: now)
        writer.forget()
        throw error
      }
    }
    if setback.isOpen { return true }
    latestError = setback.refusal
    if !stalls.isStoreFailing, !setback.isArrival { failed(setback.refusal, at: now) }
    noteHealth(.failing(latestError))
    return false
  }

  /// - Returns: Whether there is more to be done at once. What takes long is done in several turns.
  private func goOnRecovering(
    _ writer: any StoreWriter, at now: MonotonicTime
  ) throws(StoreError) -> Bool {
    let holds = setback.part(max: limits.batchMax)
    var scope = Batch.Scope()
    let slots = scope.add(holds.map(\.key))
    var wanted = scope.wanted
    wanted.wantsRuns = true
    let facts = try writer.read(wanted)
    try Fence.check(facts.meta, engine)
    let step = setback.step(look(at: facts, writer, at: now), facts, at: now)
    var batch = Batch(scope, facts, wantsEvents: observer.wantsEvents)
    if case .putBack = step {
      for (hold, slot) in zip(holds, slots) { batch.putBack(hold, slot: slot) }
    }
    var changes = batch.changes
    setback.change(&changes, for: step, facts)
    if changes.isEmpty {
      writer.forget()
    } else {
      guard case .done(let ids) = try writer.apply(changes) else {
        setback.failed(at: now)
        return false
      }
      batch.done(ids: ids)
      if !batch.events.isEmpty { _ = observer.happened(batch.events, isCertain: true) }
    }
    if case .putBack = step {
      for row in batch.slots.compactMap(\.row) where row.damage == nil { noteForSetback(row) }
    }
    if case .say = step {
      writer.acceptPast()
      observer.historyChanged()
    }
    if let countPutBack = setback.done(step, changes, part: holds.count, at: now) {
      observer.wentBack(putBack: countPutBack)
    }
    switch step {
    case .wait:
      latestError = setback.refusal
      return false
    case .putBack: return holds.isEmpty
    case .say, .settle: return true
    case .open:
      // What was seen may not be there any more: all leases have their whole length again.
      leases = LeaseTable()
      memory.forgetAll()
      scans.invalidate()
      waitedKeys.invalidate()
      if !stalls.isStoreFailing { noteHealth(.working) }
      return false
    }
  }

  /// What says that others may have changed anything where it changes.
  private func changesByOthers(_ writer: any StoreWriter) throws(StoreError) -> Int64 {
    engine.keepsAccount ? news.unknowns : try writer.changesByOthers()
  }

  private func transact(
    _ writer: any StoreWriter, _ work: CommandBatch, _ part: Range<Int>, due: [LeaseTable.Due],
    looked: [String], start: MonotonicTime
  ) throws(StoreError) -> [StoreResult?] {
    pacer.began(requests: part.count, at: start)
    var conflicts = ConflictPauses()
    defer { pacer.ended(conflicts: conflicts.count, at: clock()) }
    var scope = Batch.Scope(due: due)
    let lookedSlots = scope.add(looked)
    var keys: [String] = []
    keys.reserveCapacity(part.count)
    for index in part { work.commands[index].addKeys(to: &keys) }
    let slots = scope.add(keys)
    var remembered = remembered(scope.wanted, writer)
    do throws(StoreError) {
      while true {
        let facts: Facts
        if let remembered {
          facts = remembered
        } else {
          var wanted = scope.wanted
          wanted.isExclusive = conflicts.count > 0 || start < contentionEnd
          facts = try writer.read(wanted)
          try Fence.check(facts.meta, engine)
          guard look(at: facts, writer, at: start) == .asBefore else { throw setback.refusal }
          memory.note(facts.meta)
        }
        var batch = Batch(
          scope, facts, waiting: waiting, wantsEvents: observer.wantsEvents, refusal: refusal,
          heldBefore: { [unowned self] in leases.count(ofIdentity: $0) },
          nanosecondsLeft: { [unowned self] row in
            leases.nanosecondsLeft(of: row.id, as: row.record.sighting, at: start)
          })
        batch.handOver(looked, slots: lookedSlots[...])
        let results = decide(work, part, slots[...], in: &batch, at: start)
        let dueSlots = batch.expire()
        if remembered != nil {
          remembered = nil
          for key in scope.keys { memory.forget(key) }
          guard batch.slots.allSatisfy(\.isChanged) else {
            waiting.rollback()
            writer.forget()
            continue
          }
        }
        var changes = batch.changes
        // After a failure only a write that is committed shows that the store works again: a full
        // disk can still be read, and nobody may have anything else to write.
        if stalls.isStoreFailing {
          changes.meta.append(.set(.epoch, from: facts.meta.epoch, to: facts.meta.epoch))
        }
        let applied: Applied
        do throws(StoreError) {
          applied = try writer.apply(changes)
        } catch {
          // A commit that is not answered may have been done.
          if engine.keepsAccount, !batch.events.isEmpty {
            _ = observer.happened(batch.events, isCertain: false)
          }
          throw error
        }
        switch applied {
        case .done(let ids):
          batch.done(ids: ids)
          let mayTell = batch.events.isEmpty || observer.happened(batch.events, isCertain: true)
          committed(batch, due: due, dueSlots: dueSlots, commands: part.count, start: start)
          for (key, slot) in zip(looked, lookedSlots) {
            waiting.see(batch.slots[slot].row?.record.token, of: key)
          }
          guard mayTell else {
            waiting.withhold()
            return results.map { $0?.withheld }
          }
          return results
        case .conflict:
          // Those who were to be granted something wait on.
          waiting.rollback()
          observer.conflicted()
          // What the next connection leads to has to be looked at first.
          guard writer.isUsable else { throw Self.connectionLost }
          contentionEnd = clock() + limits.contentionNanoseconds
          guard let pause = conflicts.next(limits), clock() - start < limits.patienceNanoseconds
          else { throw StoreError.conflict }
          sleep(pause)
        }
      }
    } catch {
      writer.forget()
      waiting.rollback()
      throw error
    }
  }

  private static let connectionLost = StoreError(
    .unavailable, "the connection to the database was lost; nothing was done")

  /// What is known of the rows that are wanted, of a transaction that has begun; nil where they have to be asked for.
  private func remembered(_ wanted: Wanted, _ writer: any StoreWriter) -> Facts? {
    guard engine.keepsAccount, !stalls.isStoreFailing, !isPastInDoubt, !isReconnected,
      clock() >= contentionEnd, let facts = memory.facts(wanted), writer.goOn()
    else { return nil }
    return facts
  }

  private func decide(
    _ work: CommandBatch, _ part: Range<Int>, _ slots: ArraySlice<Int>, in batch: inout Batch,
    at now: MonotonicTime
  ) -> [StoreResult?] {
    var slots = slots
    return part.map { index in
      let (command, call) = (work.commands[index], work.calls[index])
      defer { slots = slots.dropFirst(command.keyCount) }
      // Asked each time that it is decided anew: who was answered meanwhile may have gone on elsewhere.
      guard call.isWanted else { return .failure(.unwanted) }
      let result = batch.apply(command, slots: slots.prefix(command.keyCount))
      return waits(result, command, call, at: now)
    }
  }

  /// After the commands, and not while they fail.
  private func keepUp(at now: MonotonicTime) {
    guard !stalls.isStoreFailing, let writer else { return logRelief.giveUp() }
    logRelief.look(writer, at: now, observer: observer)
    guard let due = upkeep?.due, due <= now else { return }
    do throws(StoreError) {
      try self.upkeep!.run(writer, engine, observer: observer, clock: clock)
    } catch {
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
    _ batch: borrowing Batch, due: [LeaseTable.Due], dueSlots: [Int?], commands: Int,
    start: MonotonicTime
  ) {
    let now = clock()
    for slot in batch.slots {
      guard let row = slot.row, row.damage == nil else { continue }
      if engine.keepsAccount {
        noteForSetback(row)
        if slot.isChanged { memory.note(row) }
      }
      if row.isOfNewerServer {
        leases.see(
          id: row.id, as: row.record.sighting, lease: row.lease ?? .longest, kind: nil, at: now)
      } else if let holder = row.record.holder {
        leases.see(
          id: row.id, as: row.record.sighting, lease: holder.lease, kind: holder.kind,
          identity: holder.identity, at: now)
      } else {
        leases.forget(id: row.id)
      }
    }
    for (due, slot) in zip(due, dueSlots) where slot == nil {
      leases.forget(id: due.id)
      setback.forget(due.id, asOf: due.sighting.token)
    }
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
    if let writer, writer.isUsable { return writer }
    writer = nil
    guard now >= reopenAfter else { throw latestError }
    let opened: (any StoreWriter)?
    do throws(StoreError) {
      opened = try open()
    } catch {
      reopenAfter = now + limits.reopenNanoseconds
      throw error
    }
    guard let opened else { throw latestError }
    writer = opened
    memory.forgetAll()
    isReconnected = true
    // The change count of a new connection starts anew.
    scans.invalidate()
    waitedKeys.invalidate()
    return opened
  }
}

extension StoreResult {
  /// What is told in its place where it is not to be told that it is done.
  var withheld: StoreResult {
    switch self {
    case .success(.claimed(_, _, isNewGrant: true)), .success(.released): .failure(.withheld)
    default: self
    }
  }
}

extension StoreError {
  fileprivate static let withheld = StoreError(
    .unavailable, "it may be done, but the account of it could not be written in time")
}
