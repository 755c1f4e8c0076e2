import DequeModule

/// The TLS handshakes that are under way on one event loop: no more than there is room for. Where one more begins,
/// the oldest one ends, which is as a rule of somebody who does not mean it.
///
/// Belongs to one event loop.
package final class Handshakes {
  /// How many may be under way.
  package static let countMax = 256

  private let countMax: Int
  private var underWay: [UInt64: () -> Void] = [:]
  /// Those that are over among them.
  private var order = Deque<UInt64>()
  private var last: UInt64 = 0

  package init(countMax: Int = Handshakes.countMax) { self.countMax = countMax }

  package var count: Int { underWay.count }

  /// - Parameter end: Ends it; not called where it is over by then.
  /// - Returns: Its number.
  func begins(_ end: @escaping () -> Void) -> UInt64 {
    last += 1
    underWay[last] = end
    order.append(last)
    while underWay.count > countMax, let oldest = order.popFirst() {
      underWay.removeValue(forKey: oldest)?()
    }
    return last
  }

  func isOver(_ number: UInt64) {
    underWay[number] = nil
    while let first = order.first, underWay[first] == nil { order.removeFirst() }
    // Behind one that takes long.
    if order.count > 4 * countMax { order.removeAll { underWay[$0] == nil } }
  }
}
