import LockCore

/// The calls that wait until a key is free. Belongs to the writing thread.
///
/// They come, and are granted what they wait for, within a transaction. Until it is committed who came
/// or was granted something is on its way: ``commit()`` makes it so, ``rollback()`` undoes it.
final class WaitingRoom {
  private struct Visitor {
    let claim: Claim
    let call: any StoreCall
  }

  private typealias Queue = WaitQueue<Visitor>

  private var queue: Queue
  private var ids: [ObjectIdentifier: Queue.ID] = [:]
  private var isClosed = false

  // Of the transaction under way.
  private var leaving: [(id: Queue.ID, entry: Queue.Entry, result: StoreResult)] = []
  private var arrivals: [Arrival] = []

  private struct Arrival {
    let id: Queue.ID
    let call: any StoreCall
    /// Who had the place before; nil where it is new.
    let former: Queue.Entry?
    let state: HeldState?
  }

  init(limits: StoreLimits) {
    queue = Queue(
      Queue.Bounds(
        ofKeyMax: limits.waitersOfKeyMax, max: limits.waitersMax, bytesMax: limits.waiterBytesMax))
  }

  // Asked in every turn, and mostly nobody is here: the queue, which is of another module and has to be
  // copied to be asked, is left alone then.
  var isEmpty: Bool { ids.isEmpty }
  var count: Int { isEmpty ? 0 : queue.count }
  /// When a wait may next be over.
  var nextEnd: MonotonicTime? { isEmpty ? nil : queue.nextEnd }
  /// The keys that are waited for, in no order.
  var keys: [String] { queue.keys.map(\.text) }

  // MARK: - Coming and going

  /// Nobody waits for the result of `call` any more.
  func remove(_ call: any StoreCall) {
    if let id = ids.removeValue(forKey: ObjectIdentifier(call)) { queue.remove(id) }
  }

  /// Takes out those whose wait is over, to be asked a last time.
  func takeEnded(
    at now: MonotonicTime, limit: Int
  ) -> [(command: Command, call: any StoreCall)] {
    guard !isEmpty else { return [] }
    return queue.takeEnded(at: now, limit: limit).map { entry in
      forget(entry)
      return (.claim(key: entry.key, entry.waiter.claim), entry.waiter.call)
    }
  }

  /// Sends everybody away, and lets nobody in any more.
  func close() -> [any StoreCall] {
    isClosed = true
    ids = [:]
    return queue.removeAll().map(\.waiter.call)
  }

  // MARK: - Within a transaction

  /// Lets a call wait for `key`, which another owner has.
  ///
  /// - Parameter state: That of the key.
  /// - Returns: What the call is told; nil where it waits.
  func admit(
    key: String, _ claim: Claim, _ wait: Wait, _ call: any StoreCall, _ state: HeldState?
  ) -> StoreResult? {
    guard !isClosed else { return .failure(.shuttingDown) }
    let entry = Queue.Entry(
      key: key, owner: claim.owner, requestID: wait.requestID, end: wait.end,
      byteCount: key.utf8.count + claim.byteCount + wait.requestID.utf8.count,
      waiter: Visitor(claim: claim, call: call))
    let place: (id: Queue.ID, former: Queue.Entry?)
    switch queue.add(entry) {
    case .waits(let id): place = (id, nil)
    case .tookPlace(let id, let former): place = (id, former)
    case .full: return .success(.refused(.tooManyWaiters, state))
    }
    if let former = place.former { forget(former) }
    ids[ObjectIdentifier(call)] = place.id
    arrivals.append(Arrival(id: place.id, call: call, former: place.former, state: state))
    return nil
  }

  /// Who is to have `key` now that it is free: the first one that is still there. `grant` decides.
  ///
  /// - Returns: Whether there was anybody.
  func grantNext(of key: String, _ grant: (Claim) -> StoreResult) -> Bool {
    while let (id, entry) = queue.takeFirst(of: key) {
      if leaves(id, entry, grant) { return true }
    }
    return false
  }

  /// Everybody who waits for `key` in the name of its holder, and is still there, has it.
  func grantAll(of key: String, owner: String, _ grant: (Claim) -> StoreResult) {
    for (id, entry) in queue.takeAll(of: key, owner: owner) { _ = leaves(id, entry, grant) }
  }

  /// Grants one that was taken out of the line what it waits for, if it is still there.
  private func leaves(
    _ id: Queue.ID, _ entry: Queue.Entry, _ grant: (Claim) -> StoreResult
  ) -> Bool {
    guard entry.waiter.call.isWanted else {
      forget(entry)
      return false
    }
    leaving.append((id, entry, grant(entry.waiter.claim)))
    return true
  }

  private func forget(_ entry: Queue.Entry) { ids[ObjectIdentifier(entry.waiter.call)] = nil }

  /// - Returns: What is to be told to whom.
  func commit() -> [(result: StoreResult, call: any StoreCall)] {
    guard !leaving.isEmpty || !arrivals.isEmpty else { return [] }
    defer { (leaving, arrivals) = ([], []) }
    var told: [(result: StoreResult, call: any StoreCall)] = []
    for arrival in arrivals {
      guard let former = arrival.former else { continue }
      told.append((.success(.refused(.superseded, arrival.state)), former.waiter.call))
    }
    for (_, entry, result) in leaving {
      forget(entry)
      told.append((result, entry.waiter.call))
    }
    return told
  }

  func rollback() {
    guard !leaving.isEmpty || !arrivals.isEmpty else { return }
    let newIDs = Set(arrivals.lazy.filter { $0.former == nil }.map(\.id))
    for id in newIDs { queue.remove(id) }
    queue.putBack(leaving.lazy.filter { !newIDs.contains($0.id) }.map { ($0.id, $0.entry) })
    for arrival in arrivals.reversed() {
      ids[ObjectIdentifier(arrival.call)] = nil
      guard let former = arrival.former, !newIDs.contains(arrival.id) else { continue }
      queue.give(arrival.id, to: former)
      ids[ObjectIdentifier(former.waiter.call)] = arrival.id
    }
    (leaving, arrivals) = ([], [])
  }
}

/// Notices that another server may have freed keys that are waited for here.
struct WaitedKeys {
  private let limits: StoreLimits
  private var changes: Int64?
  private var nextLook: MonotonicTime
  /// Keys that are still to be looked at.
  private var pending: [String] = []

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    nextLook = now
  }

  /// When to look next, while anybody waits.
  func due(at now: MonotonicTime) -> MonotonicTime { pending.isEmpty ? nextLook : now }

  /// The keys to be looked at now.
  ///
  /// - Parameter changesByOthers: As ``StoreWriter/changesByOthers()``; asked only when it is time.
  mutating func take(
    at now: MonotonicTime, keys: () -> [String], changesByOthers: () throws(StoreError) -> Int64
  ) throws(StoreError) -> [String] {
    if pending.isEmpty, now >= nextLook {
      nextLook = now + limits.waitedLookNanoseconds
      let current = try changesByOthers()
      if current != changes { pending = keys() }
      changes = current
    }
    let next = Array(pending.suffix(limits.batchMax))
    pending.removeLast(next.count)
    return next
  }

  /// What was taken was not looked at.
  mutating func putBack(_ keys: [String]) { pending += keys }

  /// Everything is to be looked at again.
  mutating func invalidate() { changes = nil }
}
