import LockCore

/// The calls that wait until a key is free. Belongs to the writing thread.
///
/// They come, and are granted what they wait for, within a transaction. Until it is committed who came
/// or was granted something is on its way: ``commit()`` makes it so, ``rollback()`` undoes it.
///
/// Nobody is granted anything who may be suspended, if there is a way to ask: it would hold for its whole
/// lease what it cannot use. Who does not answer keeps its place, and is passed over until it shows life.
final class WaitingRoom {
  private struct Visitor {
    let claim: Claim
    let call: any StoreCall
    let peer: WaitingPeer?
  }

  /// What became of a key that is free.
  enum HandOver {
    /// One who waited was told.
    case answered
    /// The first one may be alive, and was asked: until that is known, nobody else is to have the key.
    case reserved
    /// Nobody waits for it who could use it.
    case nobody
  }

  private typealias Queue = WaitQueue<Visitor>

  private var queue: Queue
  private var ids: [ObjectIdentifier: Queue.ID] = [:]
  private var isClosed = false
  private var front: FrontWatch
  /// The time of the turn under way.
  private var now: MonotonicTime
  /// Keys that are to be looked at: of those who wait for them one has shown life, or none for too long.
  private var decidedKeys: [String] = []

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

  private let limits: StoreLimits

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    self.now = now
    front = FrontWatch(limits: limits, now: now)
    queue = Queue(
      Queue.Bounds(
        ofKeyMax: limits.waitersOfKeyMax, max: limits.waitersMax, bytesMax: limits.waiterBytesMax))
  }

  // Asked in every turn, and mostly nobody is here: the queue, which is of another module and has to be
  // copied to be asked, is left alone then.
  var isEmpty: Bool { ids.isEmpty }
  var count: Int { isEmpty ? 0 : queue.count }
  /// When a wait may next be over, or somebody is to be asked for a sign of life.
  var due: MonotonicTime? {
    guard !isEmpty else { return nil }
    guard let end = queue.nextEnd, let look = front.due else { return queue.nextEnd ?? front.due }
    return min(end, look)
  }
  /// Whether anybody waits for a key.
  func isWaited(_ key: String) -> Bool { !isEmpty && queue.hasLine(of: key) }
  /// What the first one in a key's line says, in bytes.
  func byteCountOfFirst(of key: String) -> Int {
    queue.front(of: key, max: 1).first?.entry.byteCount ?? 0
  }
  /// The keys that are waited for, in no order, and the fencing token that each was last seen with.
  var keys: [(key: String, token: Int64?)] { queue.keys }

  // MARK: - Coming and going

  /// Nobody waits for the result of `call` any more.
  func remove(_ call: any StoreCall) {
    guard let id = ids.removeValue(forKey: ObjectIdentifier(call)),
      let entry = queue.remove(id)
    else { return }
    // Others may have waited for its sign of life.
    if let peer = entry.waiter.peer, peer.awaitedKeys.remove(NameBytes(entry.key)) != nil {
      decidedKeys.append(entry.key)
    }
  }

  /// Takes out those whose wait is over, each with its last try: a grant is in it for the living only.
  func takeEnded(
    at now: MonotonicTime, limit: Int
  ) -> [(command: Command, call: any StoreCall)] {
    guard !isEmpty else { return [] }
    return queue.takeEnded(at: now, limit: limit).map { entry in
      forget(entry)
      // Others wait for its sign of life no more: its command has the key looked at.
      entry.waiter.peer?.awaitedKeys.remove(NameBytes(entry.key))
      let (key, claim) = (entry.key, entry.waiter.claim)
      let mayBeGranted =
        entry.waiter.call.isWanted && front.verdict(on: entry.waiter.peer, at: now) == .living
      let command = mayBeGranted ? Command.claim(key: key, claim) : .renewOwn(key: key, claim)
      return (command, entry.waiter.call)
    }
  }

  /// Sends everybody away, and lets nobody in any more.
  func close() -> [any StoreCall] {
    isClosed = true
    ids = [:]
    return queue.removeAll().map(\.waiter.call)
  }

  // MARK: - Signs of life

  /// Notes that a turn begins, and asks those who are to be asked for a sign of life.
  ///
  /// - Parameter wasStalled: Whether this server stood still, so that it cannot have heard anybody.
  func turnBegan(at now: MonotonicTime, wasStalled: Bool) {
    self.now = now
    if wasStalled { front.stalled(at: now) }
    guard !isEmpty else { return front.removeAll() }
    for key in front.takeLines(at: now) where queue.hasLine(of: key) {
      front.watch(key, at: now)
      askFront(of: key, max: limits.frontMax)
    }
    for peer in front.takeSilent(at: now) { decide(peer) }
  }

  /// `peer`, of which a sign of life was awaited, has shown one.
  func heard(_ peer: WaitingPeer) {
    peer.toldAt = now
    reconsider(peer)
  }

  /// `peer` was to be asked through a call that was over by then: its silence means nothing, and it is
  /// asked through another one where that matters.
  func notAsked(_ peer: WaitingPeer) {
    peer.wasNotAsked()
    reconsider(peer)
  }

  private func reconsider(_ peer: WaitingPeer) {
    decidedKeys += queue.bringBack(peer.placesAside)
    peer.placesAside = []
    decide(peer)
  }

  /// The keys of which it is known by now who may have them.
  func takeDecidedKeys() -> [String] {
    guard !decidedKeys.isEmpty else { return [] }
    defer { decidedKeys = [] }
    return isEmpty ? [] : decidedKeys
  }

  /// Notes what fencing token a key was seen with.
  func see(_ token: Int64?, of key: String) { queue.see(token, of: key) }

  /// Whether what is known of a row is news to somebody who waits for its key.
  func isNews(_ row: ChangedRow) -> Bool {
    !isEmpty && queue.isNews(row.lease.sighting.token, isOver: row.isOver, of: row.key)
  }

  private func decide(_ peer: WaitingPeer) {
    decidedKeys += peer.awaitedKeys.lazy.map(\.text)
    peer.awaitedKeys = []
  }

  /// Sees to it that it is known soon who of the first ones is alive. Those who are not make room for
  /// the next ones.
  private func askFront(of key: String, max: Int) {
    var isSettled = false
    while !isSettled {
      isSettled = true
      for (id, entry) in queue.front(of: key, max: max) {
        guard let peer = entry.waiter.peer else { continue }
        if front.verdict(on: peer, at: now) == .silent, verdict(on: peer) == .silent {
          setAside(id, peer)
          isSettled = false
        } else {
          front.ask(peer, through: entry.waiter.call, at: now)
        }
      }
    }
  }

  private func setAside(_ id: Queue.ID, _ peer: WaitingPeer) {
    queue.setAside(id)
    peer.placesAside.append(id)
  }

  /// What is known of `peer`. Where that is not enough, its next sign of life will be told.
  private func verdict(on peer: WaitingPeer?) -> FrontWatch.Verdict {
    let first = front.verdict(on: peer, at: now)
    guard first != .living, let peer else { return first }
    peer.awaitSign()
    return front.verdict(on: peer, at: now)
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
      key: key, owner: claim.owner, identity: claim.caller.identity, requestID: wait.requestID,
      end: wait.end, byteCount: key.utf8.count + claim.byteCount + wait.requestID.utf8.count,
      waiter: Visitor(claim: claim, call: call, peer: call.peer))
    let place: (id: Queue.ID, former: Queue.Entry?)
    let waitingMax = claim.caller.waitingMax
    switch queue.add(entry, identityMax: waitingMax) {
    case .waits(let id): place = (id, nil)
    case .tookPlace(let id, let former): place = (id, former)
    case .full: return .success(.refused(.tooManyWaiters, state))
    case .fullOfIdentity:
      return .success(.refused(.tooManyWaiting(max: waitingMax ?? 0), state))
    }
    if let former = place.former {
      forget(former)
      // Whoever had the place before may have been passed over, or others may wait for its sign of life.
      decidedKeys += queue.bringBack([place.id])
      if former.waiter.peer?.awaitedKeys.remove(NameBytes(key)) != nil { decidedKeys.append(key) }
    } else {
      front.watch(key, at: now)
    }
    queue.see(state?.record.token, of: key)
    ids[ObjectIdentifier(call)] = place.id
    arrivals.append(Arrival(id: place.id, call: call, former: place.former, state: state))
    return nil
  }

  /// Who is to have `key` now that it is free: the first one that is still there, and alive. `grant`
  /// decides.
  func grantNext(of key: String, _ grant: (Claim) -> StoreResult) -> HandOver {
    while let (id, entry) = queue.first(of: key) {
      let peer = entry.waiter.peer
      switch verdict(on: peer) {
      case .living:
        _ = queue.takeFirst(of: key)
        guard leaves(id, entry, grant) else { continue }
        // The next ones are at the front now: where hand-overs follow each other, they are asked in time.
        askFront(of: key, max: limits.frontMax)
        return .answered
      case .silent: if let peer { setAside(id, peer) }
      case .unproven where !entry.waiter.call.isWanted:
        queue.remove(id)
        forget(entry)
      case .unproven:
        // All at once, so that it does not take longer where many are suspended.
        if peer?.awaitedKeys.insert(NameBytes(key)).inserted ?? false {
          askFront(of: key, max: limits.askedAtOnceMax)
        }
        return .reserved
      }
    }
    return .nobody
  }

  /// Everybody who waits for `key` in the name of its holder, and is still there, has it.
  func grantAll(of key: String, to holder: Holder, _ grant: (Claim) -> StoreResult) {
    let meant = queue.takeAll(of: key, owner: holder.owner) { $0.claim.caller.mayHave(holder) }
    for (id, entry) in meant { _ = leaves(id, entry, grant) }
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

  /// Those who were granted something are not told so.
  func withhold() { leaving = leaving.map { ($0.id, $0.entry, $0.result.withheld) } }

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
