private import DequeModule

/// What falls due in the order in which it was added: each at the same time after it was.
package struct DueQueue<Element> {
  private var elements = Deque<(due: MonotonicTime, element: Element)>()

  package init() {}

  package var count: Int { elements.count }
  package var isEmpty: Bool { elements.isEmpty }
  /// When ``take(at:)`` next has something to give.
  package var nextDue: MonotonicTime? { elements.first?.due }

  /// - Parameter due: Not before that of the element that was added before.
  package mutating func add(_ element: Element, due: MonotonicTime) {
    elements.append((due, element))
  }

  /// Takes out the first element, if it is due at `now`.
  package mutating func take(at now: MonotonicTime) -> Element? {
    guard let first = elements.first, first.due <= now else { return nil }
    elements.removeFirst()
    return first.element
  }

  package mutating func removeAll() { elements.removeAll() }
}
