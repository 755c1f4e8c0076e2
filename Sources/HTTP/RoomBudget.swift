import Synchronization

/// Bounds what the requests of a server take that are still arriving, their header lists and
/// bodies, over all of its connections and both protocols; another one what its open streams and the
/// answers take that wait to be written.
///
/// Each connection has a ``Share``. What is about to be stored is taken there first, and given back
/// when the request is complete or gone, or the answer out. Ordinary small ones touch no more than the
/// share's own numbers; what is larger takes ``chunkBytes`` at a time.
///
/// A connection may take more only while it has less than an eighth of what is still free, and
/// gives up what is newest where it has far more than that because others came after it
/// (``Share/isAboveItsPart``): over HTTP/2 its newest requests, over HTTP/1.1 the one that arrives.
/// What a peer of HTTP/1.1 sends ahead, behind a request in hand, counts with the room that it is
/// kept in, and is kept only while half of all is free (``Share/isRoomScarce``). So nobody takes all: a
/// few greedy connections leave a good part, and hundreds of them leave to each newcomer what each of them
/// has. The last sixteenth of all is there for connections that have no more than ``modestBytes``.
package final class RoomBudget: Sendable {
  /// Bytes of all requests of a server that are arriving.
  package static let serverBytesMax = 256 << 20
  /// What each connection has for ordinary small requests or answers, in bytes; not part of the budget. The
  /// default, as is ``chunkBytes``.
  package static let freeBytes = 4_096
  /// What a share takes and gives back at a time, in bytes.
  package static let chunkBytes = 16_384
  /// A connection has at most one part in so many of what is free.
  static let partsOfFree = 8
  /// An answer up to this size, in bytes, is never given up for want of room.
  static let smallAnswerBytesMax = 1_024
  /// What a connection has at most while it counts as modest, in bytes.
  static let modestBytes = 65_536
  /// One part in so many of all is left to modest connections.
  static let partsOfReserve = 16

  private let bytesMax: Int
  private let freeBytes: Int
  private let chunkBytes: Int
  private let used = Atomic<Int>(0)
  private let peak = Atomic<Int>(0)

  /// - Parameters:
  ///   - freeBytes: What each connection has besides, in bytes.
  ///   - chunkBytes: What a share takes and gives back at a time, in bytes.
  package init(
    bytesMax: Int = RoomBudget.serverBytesMax, freeBytes: Int = RoomBudget.freeBytes,
    chunkBytes: Int = RoomBudget.chunkBytes
  ) {
    self.bytesMax = bytesMax
    self.freeBytes = freeBytes
    self.chunkBytes = chunkBytes
  }

  /// At least so much that several connections may take `connectionBytesMax` each.
  package convenience init(
    bytesMax: Int = RoomBudget.serverBytesMax, connectionBytesMax: Int,
    freeBytes: Int = RoomBudget.freeBytes, chunkBytes: Int = RoomBudget.chunkBytes
  ) {
    self.init(
      bytesMax: max(bytesMax, 2 * Self.partsOfFree * connectionBytesMax), freeBytes: freeBytes,
      chunkBytes: chunkBytes)
  }

  /// Bytes that are taken at the moment.
  package var bytesUsed: Int { used.load(ordering: .relaxed) }

  /// The most bytes that were taken at a time since this was asked last.
  package func takePeak() -> Int { max(peak.exchange(0, ordering: .relaxed), bytesUsed) }

  /// - Parameter held: What the same connection has taken already.
  private func take(_ count: Int, held: Int) -> Bool {
    let used = used.wrappingAdd(count, ordering: .relaxed).newValue
    let kept = held + count > Self.modestBytes ? bytesMax / Self.partsOfReserve : 0
    guard held + count <= part(of: bytesMax - used + count - kept) else {
      giveBack(count)
      return false
    }
    peak.max(used, ordering: .relaxed)
    return true
  }

  private func part(of free: Int) -> Int { max(0, free) / Self.partsOfFree }

  private func add(_ count: Int) {
    peak.max(used.wrappingAdd(count, ordering: .relaxed).newValue, ordering: .relaxed)
  }

  private func giveBack(_ count: Int) { used.subtract(count, ordering: .relaxed) }

  /// What the requests of one connection take. Belongs to its event loop.
  package struct Share: ~Copyable {
    private let budget: RoomBudget
    private let bytesMax: Int
    /// Bytes that are taken here.
    package private(set) var bytesUsed = 0
    /// Bytes that are taken from the budget.
    private var granted = 0
    /// What can be taken here before the budget has to be asked.
    private var ceiling: Int

    /// - Parameter bytesMax: The bound on this connection alone, in bytes.
    package init(of budget: RoomBudget, bytesMax: Int) {
      self.budget = budget
      self.bytesMax = bytesMax
      ceiling = min(budget.freeBytes, bytesMax)
    }

    deinit { budget.giveBack(granted) }

    /// Takes `count` bytes that are about to be stored; false, and nothing taken, where there are
    /// not as many.
    @inline(__always)
    package mutating func take(_ count: Int) -> Bool {
      guard bytesUsed + count <= ceiling || grow(to: bytesUsed + count) else { return false }
      bytesUsed += count
      return true
    }

    /// Takes `count` bytes for an answer that is made: for a small one whether or not there is room,
    /// since it may tell of something that was done. False, and nothing taken, where there is no room
    /// for a larger one.
    @inline(__always)
    package mutating func takeAnswer(_ count: Int) -> Bool {
      guard bytesUsed + count > ceiling else {
        bytesUsed += count
        return true
      }
      return takeMore(forAnswer: count)
    }

    /// Gives back `count` of the bytes that were taken.
    @inline(__always)
    package mutating func giveBack(_ count: Int) {
      bytesUsed -= count
      if granted > 0 { shrink() }
    }

    /// Whether the connection has more than twice what it could take by now. It looks from time to
    /// time, and refuses requests, or gives answers up, until it has not.
    package var isAboveItsPart: Bool {
      granted > 2 * budget.part(of: budget.bytesMax - budget.bytesUsed)
    }

    /// Whether more than half of all room is taken, some of it here: then nothing is kept here that
    /// waits for the end of something else.
    package var isRoomScarce: Bool { granted > 0 && budget.bytesUsed > budget.bytesMax / 2 }

    private mutating func grow(to bytes: Int) -> Bool {
      guard bytes <= bytesMax else { return false }
      let more = chunks(bytes - budget.freeBytes) - granted
      guard budget.take(more, held: granted) else { return false }
      change(to: granted + more)
      return true
    }

    private mutating func takeMore(forAnswer count: Int) -> Bool {
      if count > RoomBudget.smallAnswerBytesMax {
        guard grow(to: bytesUsed + count) else { return false }
      } else {
        let more = max(0, chunks(bytesUsed + count - budget.freeBytes) - granted)
        budget.add(more)
        change(to: granted + more)
      }
      bytesUsed += count
      return true
    }

    /// Keeps a chunk that is not needed for the next request, but not without any.
    private mutating func shrink() {
      let needed = chunks(bytesUsed - budget.freeBytes)
      guard needed == 0 || granted - needed > budget.chunkBytes else { return }
      budget.giveBack(granted - needed)
      change(to: needed)
    }

    private mutating func change(to granted: Int) {
      self.granted = granted
      ceiling = min(budget.freeBytes + granted, bytesMax)
    }

    /// The least number of whole chunks that holds `bytes`, in bytes.
    private func chunks(_ bytes: Int) -> Int {
      let size = budget.chunkBytes
      return max(0, (bytes + size - 1) / size * size)
    }
  }
}
