import LockCore

/// Knows which of those who may soon be granted something are alive: the first ones of each line are
/// asked for a sign of life every now and then, so that nothing has to be asked when a key becomes free.
///
/// A peer has one question at a time, and at most one in ``StoreLimits/lifeQuestionNanoseconds``.
struct FrontWatch {
  /// What is known of a peer.
  enum Verdict {
    /// It was heard a moment ago, or cannot be asked.
    case living
    /// It may be alive.
    case unproven
    /// It did not answer.
    case silent
  }

  private let limits: StoreLimits
  /// The lines to be looked at, each once.
  private var lines = DueQueue<String>()
  private var watched: Set<NameBytes> = []
  private var nextLook: MonotonicTime
  /// Who was asked, until its silence means something.
  private var asked = DueQueue<(peer: WaitingPeer, at: MonotonicTime)>()
  /// When this server last found that it had stood still: answers may lie unread in its sockets.
  private var latestStall: MonotonicTime
  /// False where there is nothing to be forgotten: in a store without anybody who waits this is asked in
  /// every turn.
  private var isInUse = false

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    nextLook = now
    latestStall = now
  }

  /// When there is something to be done next.
  var due: MonotonicTime? {
    let line = lines.nextDue.map { max($0, nextLook) }
    guard let line, let silence = asked.nextDue else { return line ?? asked.nextDue }
    return min(line, silence)
  }

  /// Whoever was asked before has to be given time anew.
  mutating func stalled(at now: MonotonicTime) { latestStall = now }

  /// - Parameter peer: Nil where it cannot be asked.
  func verdict(on peer: WaitingPeer?, at now: MonotonicTime) -> Verdict {
    guard let peer, peer.toldAt != now else { return .living }
    let heard = peer.lastHeard
    if let asked = peer.askedAt, heard < asked,
      now - max(asked, latestStall) >= limits.lifeSilenceNanoseconds
    {
      return .silent
    }
    return now - heard < limits.lifeCountsNanoseconds ? .living : .unproven
  }

  /// Asks a peer that was not heard of late, unless it was asked already.
  ///
  /// - Parameter call: One of its calls.
  mutating func ask(_ peer: WaitingPeer, through call: any StoreCall, at now: MonotonicTime) {
    guard !peer.owesAnswer, now - peer.lastHeard >= limits.lifeQuestionNanoseconds else { return }
    peer.wasAsked(at: now)
    call.askForSignOfLife()
    asked.add((peer, at: now), due: now + limits.lifeSilenceNanoseconds)
  }

  /// Has the line of `key` looked at every now and then.
  mutating func watch(_ key: String, at now: MonotonicTime) {
    guard watched.insert(NameBytes(key)).inserted else { return }
    isInUse = true
    lines.add(key, due: now + limits.lifeQuestionNanoseconds)
  }

  /// The lines that are to be looked at now. Who still has a line is to be watched again.
  mutating func takeLines(at now: MonotonicTime) -> [String] {
    guard now >= nextLook else { return [] }
    nextLook = now + limits.frontLookNanoseconds
    var keys: [String] = []
    while keys.count < limits.frontLooksMax, let key = lines.take(at: now) {
      watched.remove(NameBytes(key))
      keys.append(key)
    }
    return keys
  }

  /// Those of whom it is known by now that they do not answer.
  mutating func takeSilent(at now: MonotonicTime) -> [WaitingPeer] {
    var peers: [WaitingPeer] = []
    while let (peer, askedAt) = asked.take(at: now) {
      guard peer.askedAt == askedAt, peer.owesAnswer else { continue }
      if verdict(on: peer, at: now) == .silent {
        peers.append(peer)
      } else {
        asked.add((peer, at: askedAt), due: now + limits.lifeSilenceNanoseconds)
      }
    }
    return peers
  }

  /// Nobody waits any more.
  mutating func removeAll() {
    guard isInUse else { return }
    isInUse = false
    lines.removeAll()
    watched.removeAll()
    asked.removeAll()
  }
}
