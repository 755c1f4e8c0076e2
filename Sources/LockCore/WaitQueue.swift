private import DequeModule
private import HeapModule

/// Who waits for which key: a line for each key, in the order of arrival, and a time for each at which
/// its wait is over.
///
/// Whoever leaves a line is only struck out. Lines and times forget the names of those who left when
/// there are more of them than of those who stay. Whoever is set aside still waits, but is not in the
/// line until it is brought back, to the place that it had.
package struct WaitQueue<Waiter> {
  package typealias ID = UInt64

  /// One who waits.
  package struct Entry {
    package let key: String
    package let owner: String
    /// Who it is, as far as the server can tell.
    package let identity: String
    /// Names the request among those of its owner; empty where it has no name.
    package let requestID: String
    /// When the wait is over.
    package let end: MonotonicTime
    /// What it takes, in bytes of text.
    package let byteCount: Int
    package let waiter: Waiter

    package init(
      key: String, owner: String, identity: String = "", requestID: String, end: MonotonicTime,
      byteCount: Int, waiter: Waiter
    ) {
      self.key = key
      self.owner = owner
      self.identity = identity
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
    /// As many of its identity wait as may.
    case fullOfIdentity
  }

  private struct Line {
    /// In the order of arrival, which is that of the numbers.
    var ids = Deque<ID>()
    /// Who waits, but is passed over: not in `ids`.
    var aside: Set<ID> = []
    /// How many of both still wait.
    var count = 0
    /// The fencing token that the key was last seen with.
    var token: Int64?
    /// How many of them each owner has.
    var ofOwner: [NameBytes: Int] = [:]
  }

  private struct RequestName: Hashable {
    let key: NameBytes
    let owner: NameBytes
    /// Nobody takes the place of another identity.
    let identity: NameBytes
    let requestID: NameBytes

    init?(_ entry: Entry) {
      guard !entry.requestID.isEmpty else { return nil }
      key = NameBytes(entry.key)
      owner = NameBytes(entry.owner)
      identity = NameBytes(entry.identity)
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
  private var ofIdentity: [NameBytes: Int] = [:]
  private var ends = Heap<End>()
  private var byteCount = 0
  private var latestID: ID = 0

  package init(_ bounds: Bounds) { self.bounds = bounds }

  package var count: Int { entries.count }
  package var isEmpty: Bool { entries.isEmpty }
  /// The keys that somebody waits for who is not set aside, in no order, and the fencing token that each
  /// was last seen with.
  package var keys: [(key: String, token: Int64?)] {
    lines.lazy.filter { $0.value.count > $0.value.aside.count }
      .map { ($0.key.text, $0.value.token) }
  }

  /// Notes what fencing token a key was seen with, if anybody waits for it.
  package mutating func see(_ token: Int64?, of key: String) {
    lines[NameBytes(key)]?.token = token
  }

  /// Whether somebody waits for a key who is not set aside, and it is free or was granted anew.
  package func isNews(_ token: Int64, isOver: Bool, of key: String) -> Bool {
    guard let line = lines[NameBytes(key)], line.count > line.aside.count else { return false }
    return isOver || line.token != token
  }

  // MARK: - Coming and going

  /// Puts one at the end of its key's line.
  ///
  /// - Parameter identityMax: How many of its identity may wait; nil for as many as there is room for.
  package mutating func add(_ entry: Entry, identityMax: Int? = nil) -> Admission {
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
    if let identityMax, ofIdentity[NameBytes(entry.identity)] ?? 0 >= identityMax {
      return .fullOfIdentity
    }
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

  /// Whether anybody waits for a key, be it set aside.
  package func hasLine(of key: String) -> Bool { lines[NameBytes(key)] != nil }

  /// The first one in a key's line.
  package mutating func first(of key: String) -> (id: ID, entry: Entry)? {
    let key = NameBytes(key)
    while let id = lines[key]?.ids.first {
      if let entry = entries[id] { return (id, entry) }
      lines[key]!.ids.removeFirst()
    }
    return nil
  }

  /// The first ones in a key's line, at most `max`.
  package func front(of key: String, max: Int) -> [(id: ID, entry: Entry)] {
    guard let line = lines[NameBytes(key)] else { return [] }
    var front: [(id: ID, entry: Entry)] = []
    for id in line.ids {
      if front.count == max { break }
      if let entry = entries[id] { front.append((id, entry)) }
    }
    return front
  }

  /// Passes one over until it is brought back. It keeps its place, its name and the end of its wait.
  package mutating func setAside(_ id: ID) {
    guard let entry = entries[id] else { return }
    let key = NameBytes(entry.key)
    guard let place = lines[key]!.ids.firstIndex(of: id) else { return }
    lines[key]!.ids.remove(at: place)
    lines[key]!.aside.insert(id)
  }

  /// Puts those of `ids` that were set aside back to their places. Returns the keys of their lines.
  @discardableResult
  package mutating func bringBack(_ ids: [ID]) -> [String] {
    var keys: Set<NameBytes> = []
    for id in ids {
      guard let entry = entries[id] else { continue }
      let key = NameBytes(entry.key)
      guard lines[key]!.aside.remove(id) != nil else { continue }
      lines[key]!.ids.append(id)
      keys.insert(key)
    }
    for key in keys { lines[key]!.ids.sort() }
    return keys.map(\.text)
  }

  /// Takes the first one out of a key's line.
  package mutating func takeFirst(of key: String) -> (id: ID, entry: Entry)? {
    let key = NameBytes(key)
    while let id = lines[key]?.ids.popFirst() {
      if let entry = strikeOut(id) { return (id, entry) }
    }
    return nil
  }

  /// Takes out who waits for a key in the name of `owner`, set aside or not, the first one first.
  ///
  /// - Parameter isMeant: Whether one of them is.
  package mutating func takeAll(
    of key: String, owner: String, where isMeant: (Waiter) -> Bool = { _ in true }
  ) -> [(id: ID, entry: Entry)] {
    guard let line = lines[NameBytes(key)], line.ofOwner[NameBytes(owner)] != nil else { return [] }
    let ids = line.aside.isEmpty ? line.ids : Deque((line.ids + line.aside).sorted())
    return ids.compactMap { id in
      guard let entry = entries[id], entry.owner.isSameName(as: owner), isMeant(entry.waiter)
      else { return nil }
      return strikeOut(id).map { (id, $0) }
    }
  }

  /// Puts those that were taken out back to their places.
  package mutating func putBack(_ taken: [(id: ID, entry: Entry)]) {
    var keys: Set<NameBytes> = []
    for (id, entry) in taken {
      let key = NameBytes(entry.key)
      // A line remembers those that were only struck out.
      lines[key, default: Line()].ids.removeAll { $0 == id }
      lines[key]!.ids.append(id)
      keys.insert(key)
      insert(id, entry, key)
      ends.insert(End(time: entry.end, id: id))
    }
    // In the order of their numbers: some of one owner were taken from the middle.
    for key in keys { lines[key]!.ids.sort() }
  }

  @discardableResult
  package mutating func remove(_ id: ID) -> Entry? { strikeOut(id) }

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
    ofIdentity[NameBytes(entry.identity), default: 0] += 1
    if let name = RequestName(entry) { named[name] = id }
  }

  private mutating func strikeOut(_ id: ID) -> Entry? {
    guard let entry = entries.removeValue(forKey: id) else { return nil }
    byteCount -= entry.byteCount
    let identity = NameBytes(entry.identity)
    ofIdentity[identity]! -= 1
    if ofIdentity[identity] == 0 { ofIdentity[identity] = nil }
    if let name = RequestName(entry) { named[name] = nil }
    let (key, owner) = (NameBytes(entry.key), NameBytes(entry.owner))
    lines[key]!.count -= 1
    if !lines[key]!.aside.isEmpty { lines[key]!.aside.remove(id) }
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
