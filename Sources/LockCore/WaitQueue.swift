private import DequeModule
private import HeapModule

/// Who waits for which key: a line for each key, in the order of arrival, and a time for each at which
/// its wait is over.
///
/// Whoever leaves a line is only struck out. Lines and times forget the names of those who left when
/// there are more of them than of those who stay.
package struct WaitQueue<Waiter> {
  package typealias ID = UInt64

  /// One who waits.
  package struct Entry {
    package let key: String
    package let owner: String
    /// Names the request among those of its owner; empty where it has no name.
    package let requestID: String
    /// When the wait is over.
    package let end: MonotonicTime
    /// What it takes, in bytes of text.
    package let byteCount: Int
    package let waiter: Waiter

    package init(
      key: String, owner: String, requestID: String, end: MonotonicTime, byteCount: Int,
      waiter: Waiter
    ) {
      self.key = key
      self.owner = owner
      self.requestID = requestID
      self.end = end
      self.byteCount = byteCount
      self.waiter = waiter
    }
  }

  /// The bounds on those who wait.
  package struct Bounds: Sendable {
    package var ofKeyMax: Int
    package var max: Int
    package var bytesMax: Int

    package init(ofKeyMax: Int, max: Int, bytesMax: Int) {
      self.ofKeyMax = ofKeyMax
      self.max = max
      self.bytesMax = bytesMax
    }
  }

  package enum Admission {
    case waits(ID)
    /// The same request waited already: the new one has its place, and this is who had it.
    case tookPlace(ID, of: Entry)
    case full
  }

  private struct Line {
    var ids = Deque<ID>()
    /// How many of `ids` still wait.
    var count = 0
    /// How many of them each owner has.
    var ofOwner: [NameBytes: Int] = [:]
  }

  private struct RequestName: Hashable {
    let key: NameBytes
    let owner: NameBytes
    let requestID: NameBytes

    init?(_ entry: Entry) {
      guard !entry.requestID.isEmpty else { return nil }
      key = NameBytes(entry.key)
      owner = NameBytes(entry.owner)
      requestID = NameBytes(entry.requestID)
    }
  }

  private struct End: Comparable {
    let time: MonotonicTime
    let id: ID

    static func < (a: End, b: End) -> Bool { (a.time, a.id) < (b.time, b.id) }
  }

  private let bounds: Bounds
  private var entries: [ID: Entry] = [:]
  private var lines: [NameBytes: Line] = [:]
  private var named: [RequestName: ID] = [:]
  private var ends = Heap<End>()
  private var byteCount = 0
  private var latestID: ID = 0

  package init(_ bounds: Bounds) { self.bounds = bounds }

  package var count: Int { entries.count }
  package var isEmpty: Bool { entries.isEmpty }
  /// The keys that are waited for, in no order.
  package var keys: [NameBytes] { Array(lines.keys) }

  // MARK: - Coming and going

  /// Puts one at the end of its key's line.
  package mutating func add(_ entry: Entry) -> Admission {
    if let name = RequestName(entry), let id = named[name] {
      let former = entries[id]!
      guard byteCount - former.byteCount + entry.byteCount <= bounds.bytesMax else { return .full }
      give(id, to: entry)
      return .tookPlace(id, of: former)
    }
    let key = NameBytes(entry.key)
    guard entries.count < bounds.max, byteCount + entry.byteCount <= bounds.bytesMax,
      lines[key]?.count ?? 0 < bounds.ofKeyMax
    else { return .full }
    latestID += 1
    lines[key, default: Line()].ids.append(latestID)
    insert(latestID, entry, key)
    ends.insert(End(time: entry.end, id: latestID))
    return .waits(latestID)
  }

  /// Gives a place that is taken to another entry of the same request.
  package mutating func give(_ id: ID, to entry: Entry) {
    byteCount += entry.byteCount - entries[id]!.byteCount
    entries[id] = entry
    ends.insert(End(time: entry.end, id: id))
    forgetEndsOfThePast()
  }

  /// Takes the first one out of a key's line.
  package mutating func takeFirst(of key: String) -> (id: ID, entry: Entry)? {
    let key = NameBytes(key)
    while let id = lines[key]?.ids.popFirst() {
      if let entry = strikeOut(id) { return (id, entry) }
    }
    return nil
  }

  /// Takes out who waits for a key in the name of `owner`, the first one first.
  package mutating func takeAll(of key: String, owner: String) -> [(id: ID, entry: Entry)] {
    guard let line = lines[NameBytes(key)], line.ofOwner[NameBytes(owner)] != nil else { return [] }
    return line.ids.compactMap { id in
      guard let entry = entries[id], entry.owner.isSameName(as: owner) else { return nil }
      return strikeOut(id).map { (id, $0) }
    }
  }

  /// Puts those that were taken out back to the head of their lines, the first one first.
  package mutating func putBack(_ taken: [(id: ID, entry: Entry)]) {
    for (id, entry) in taken.reversed() {
      let key = NameBytes(entry.key)
      // A line remembers those that were only struck out.
      lines[key, default: Line()].ids.removeAll { $0 == id }
      lines[key]!.ids.prepend(id)
      insert(id, entry, key)
      ends.insert(End(time: entry.end, id: id))
    }
  }

  package mutating func remove(_ id: ID) { _ = strikeOut(id) }

  package mutating func removeAll() -> [Entry] {
    defer { self = WaitQueue(bounds) }
    return entries.sorted { $0.key < $1.key }.map(\.value)
  }

  // MARK: - Ends

  /// When ``takeEnded(at:limit:)`` may next have something to give: never later than that.
  package var nextEnd: MonotonicTime? { ends.min?.time }

  /// Takes out up to `limit` of those whose wait is over.
  package mutating func takeEnded(at now: MonotonicTime, limit: Int) -> [Entry] {
    var ended: [Entry] = []
    while ended.count < limit, let end = ends.min, end.time <= now {
      ends.removeMin()
      // Who took another's place may wait longer.
      guard let entry = entries[end.id], entry.end <= now else { continue }
      _ = strikeOut(end.id)
      ended.append(entry)
    }
    return ended
  }

  // MARK: - The books

  private mutating func insert(_ id: ID, _ entry: Entry, _ key: NameBytes) {
    entries[id] = entry
    byteCount += entry.byteCount
    lines[key]!.count += 1
    lines[key]!.ofOwner[NameBytes(entry.owner), default: 0] += 1
    if let name = RequestName(entry) { named[name] = id }
  }

  private mutating func strikeOut(_ id: ID) -> Entry? {
    guard let entry = entries.removeValue(forKey: id) else { return nil }
    byteCount -= entry.byteCount
    if let name = RequestName(entry) { named[name] = nil }
    let (key, owner) = (NameBytes(entry.key), NameBytes(entry.owner))
    lines[key]!.count -= 1
    lines[key]!.ofOwner[owner]! -= 1
    if lines[key]!.ofOwner[owner] == 0 { lines[key]!.ofOwner[owner] = nil }
    if lines[key]!.count == 0 {
      lines[key] = nil
    } else if lines[key]!.ids.count > 2 * lines[key]!.count + Self.spareMax {
      lines[key]!.ids.removeAll { entries[$0] == nil }
    }
    forgetEndsOfThePast()
    return entry
  }

  private mutating func forgetEndsOfThePast() {
    if ends.count > 2 * entries.count + Self.spareMax {
      ends = Heap(entries.map { End(time: $0.value.end, id: $0.key) })
    }
  }

  /// Those who left that lines and times may remember, beside as many as still wait.
  private static var spareMax: Int { 64 }
}
