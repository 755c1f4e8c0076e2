private import HeapModule

/// What one server has seen of the leases in its store, and when each may be considered over.
///
/// The table is the whole of "leases without trusting clocks": it notes on the server's own
/// monotonic clock when it first saw a record in a certain state. A lease may end only when the
/// same state has been seen for the lease's whole length. A restarted server starts with an empty
/// table, so every lease gets its full length again.
///
/// Each entry has one place in the queue. A renewal moves only the entry's own deadline; the queue
/// learns of it when the old place comes up. So a renewal costs one dictionary update.
package struct LeaseTable: Sendable {
  private struct Entry {
    var sighting: Sighting
    var deadline: MonotonicTime
    /// Where the entry stands in the queue: never later than `deadline`.
    var queued: MonotonicTime
    var kind: Kind?
  }

  private struct Place: Comparable {
    var time: MonotonicTime
    var id: Int64

    static func < (a: Place, b: Place) -> Bool { a.time < b.time }
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

  package init() {}

  package var count: Int { entries.count }

  /// How many entries are of `kind`.
  package func count(of kind: Kind) -> Int { kind == .lock ? locks : presences }

  /// Notes that the record `id` was seen as `sighting` at `now`. A state that is known already, or
  /// that is older than the known one, changes nothing.
  ///
  /// - Parameter kind: Nil where the record is of a kind that only newer servers know.
  package mutating func see(
    id: Int64, as sighting: Sighting, lease: Lease, kind: Kind?, at now: MonotonicTime
  ) {
    let deadline = now + lease.nanoseconds
    if var known = entries[id] {
      guard sighting.isLater(than: known.sighting) else { return }
      if known.kind != kind {
        tally(known.kind, -1)
        tally(kind, 1)
        known.kind = kind
      }
      known.sighting = sighting
      known.deadline = deadline
      if deadline < known.queued {
        known.queued = deadline
        queue.insert(Place(time: deadline, id: id))
      }
      entries[id] = known
    } else {
      tally(kind, 1)
      entries[id] = Entry(
        sighting: sighting, deadline: deadline,
        queued: deadline, kind: kind)
      queue.insert(Place(time: deadline, id: id))
    }
  }

  /// Notes that nobody holds the record `id` any more.
  package mutating func forget(id: Int64) {
    if let entry = entries.removeValue(forKey: id) { tally(entry.kind, -1) }
  }

  /// When ``takeDue(at:limit:)`` may next have something to give; nil while the table is empty. It
  /// may be earlier than the first lease ends, never later.
  package var nextLook: MonotonicTime? { queue.min?.time }

  /// Takes out up to `limit` leases that are over at `now`. Each stays in the table, to come up
  /// again after `retryNanoseconds`, until the caller says what became of it with
  /// ``forget(id:)`` or ``see(id:as:lease:kind:at:)``.
  package mutating func takeDue(
    at now: MonotonicTime, limit: Int, retryNanoseconds: Int64
  ) -> [Due] {
    var due: [Due] = []
    while due.count < limit, let place = queue.min, place.time <= now {
      queue.removeMin()
      guard var entry = entries[place.id], entry.queued == place.time else { continue }
      if entry.deadline <= now {
        due.append(Due(id: place.id, sighting: entry.sighting))
        entry.queued = now + retryNanoseconds
      } else {
        entry.queued = entry.deadline
      }
      entries[place.id] = entry
      queue.insert(Place(time: entry.queued, id: place.id))
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
