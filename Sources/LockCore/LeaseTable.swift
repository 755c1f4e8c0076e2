private import HeapModule

/// What one server has seen of the leases in its store, and when each may be considered over.
///
/// The table is the whole of "leases without trusting clocks": it notes on the server's own
/// monotonic clock when it first saw a record in a certain state. A lease may end only when the
/// same state has been seen for the lease's whole length. A restarted server starts with an empty
/// table, so every lease gets its full length again.
///
/// Each entry has a place in the queue, at its deadline or before. A renewal moves only the entry's
/// deadline; the queue learns of it when the place comes up. So a renewal costs one dictionary
/// update. Entries are kept small: there may be a million.
package struct LeaseTable: Sendable {
  private struct Entry {
    var sighting: Sighting
    /// The deadline in nanoseconds, rounded up to a multiple of 4, with the kind in the low bits.
    private var packed: Int64

    init(sighting: Sighting, deadline: MonotonicTime, kind: Kind?) {
      self.sighting = sighting
      packed = (deadline.nanoseconds + 3) & ~3 | (kind?.rawValue ?? 0)
    }

    var deadline: MonotonicTime { MonotonicTime(nanoseconds: packed & ~3) }
    var kind: Kind? { Kind(rawValue: packed & 3) }
  }

  private struct Place: Comparable {
    var time: MonotonicTime
    var id: Int64

    static func < (a: Place, b: Place) -> Bool { (a.time, a.id) < (b.time, b.id) }
  }

  /// A lease that was seen unchanged for its whole length.
  package struct Due: Equatable, Sendable {
    package var id: Int64
    package var sighting: Sighting

    package init(id: Int64, sighting: Sighting) {
      self.id = id
      self.sighting = sighting
    }
  }

  private var entries: [Int64: Entry] = [:]
  private var queue = Heap<Place>()
  private var locks = 0
  private var presences = 0
  private var holdings = Holdings()

  package init() {}

  package var count: Int { entries.count }

  /// Places in the queue: at most two for each entry, and ``sparePlacesMax``.
  package var placeCount: Int { queue.count }

  /// How many entries are of `kind`.
  package func count(of kind: Kind) -> Int { kind == .lock ? locks : presences }

  /// How many entries are an identity's.
  package func count(ofIdentity name: String) -> Int { holdings.count(of: name) }

  /// Where a state of a record was seen.
  package enum Source: Sendable {
    /// In a transaction that wrote, or could have: nobody else wrote the record meanwhile.
    case transaction
    /// In a snapshot, which may be older than what is known already.
    case snapshot
  }

  /// Notes that the record `id` was seen as `sighting` at `now`. A state that is known already
  /// changes nothing, nor does an older one from a snapshot. An older one from a transaction counts:
  /// somebody put an old copy of the store in place.
  ///
  /// - Parameters:
  ///   - kind: Nil where the record is of a kind that only newer servers know.
  ///   - identity: Whose it is; empty where that is not known.
  package mutating func see(
    id: Int64, as sighting: Sighting, lease: Lease, kind: Kind?, identity: String = "",
    in source: Source = .transaction, at now: MonotonicTime
  ) {
    let new = Entry(sighting: sighting, deadline: now + lease.nanoseconds, kind: kind)
    if let known = entries[id] {
      switch source {
      case .transaction: guard sighting != known.sighting else { return }
      case .snapshot: guard sighting.isLater(than: known.sighting) else { return }
      }
      tally(known.kind, -1)
      // A shorter lease may end before the entry's place comes up.
      if new.deadline < known.deadline { queue.insert(Place(time: new.deadline, id: id)) }
    } else {
      queue.insert(Place(time: new.deadline, id: id))
    }
    tally(kind, 1)
    entries[id] = new
    holdings.see(id, of: identity)
    if queue.count > 2 * entries.count + Self.sparePlacesMax { dropSparePlaces() }
  }

  /// Places that may be in the queue for nothing, beside one for each entry: keys that are claimed
  /// and released again and again under long leases leave one behind each time.
  package static let sparePlacesMax = 4_096

  private mutating func dropSparePlaces() {
    queue = Heap(entries.map { Place(time: $0.value.deadline, id: $0.key) })
  }

  /// How long the lease of the record `id` lasts at most from `now` on, if nobody writes it; nil where
  /// it was not seen in this state.
  package func nanosecondsLeft(
    of id: Int64, as sighting: Sighting, at now: MonotonicTime
  ) -> Int64? {
    guard let entry = entries[id], entry.sighting == sighting else { return nil }
    return max(entry.deadline - now, 0)
  }

  /// Notes that nobody holds the record `id` any more.
  package mutating func forget(id: Int64) {
    guard let entry = entries.removeValue(forKey: id) else { return }
    tally(entry.kind, -1)
    holdings.forget(id)
  }

  /// The same, as of when it was seen so.
  package mutating func forget(id: Int64, asOf sighting: Sighting) {
    guard let entry = entries[id], !entry.sighting.isLater(than: sighting) else { return }
    forget(id: id)
  }

  /// When ``takeDue(at:limit:)`` may next have something to give; nil while the table is empty. It
  /// may be earlier than the first lease ends, never later.
  package var nextLook: MonotonicTime? { queue.min?.time }

  /// Takes out up to `limit` leases that are over at `now`. Each stays in the table, to come up
  /// again after `retryNanoseconds`, until the caller says what became of it with
  /// ``forget(id:)`` or ``see(id:as:lease:kind:in:at:)``.
  package mutating func takeDue(
    at now: MonotonicTime, limit: Int, retryNanoseconds: Int64
  ) -> [Due] {
    var due: [Due] = []
    while due.count < limit, let place = queue.min, place.time <= now {
      queue.removeMin()
      // Places of one entry meet at its deadline: one is enough.
      guard place != queue.min, let entry = entries[place.id] else { continue }
      var next = entry.deadline
      if next <= now {
        due.append(Due(id: place.id, sighting: entry.sighting))
        next = now + retryNanoseconds
      }
      queue.insert(Place(time: next, id: place.id))
    }
    return due
  }

  private mutating func tally(_ kind: Kind?, _ change: Int) {
    switch kind {
    case .lock: locks += change
    case .presence: presences += change
    case nil: break
    }
  }
}
