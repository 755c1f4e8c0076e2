import Glibc

/// The lists that wait for the thread that reads them, by who asked.
///
/// One of each source at a time: whoever asks for a thousand lists does not keep others from
/// theirs. Lists are read piece by piece, and what is not done after the first piece goes to a
/// second line, from which one list after the other is read to its end, in turn with the first
/// pieces of new ones. So a short list never waits for a long one, and there are never more
/// half-made answers than sources.
///
/// `@unchecked Sendable`: everything mutable is touched only under `mutex`.
final class ListTurns<Element: Sendable>: @unchecked Sendable {
  typealias Source = ObjectIdentifier?

  /// Whose piece was taken, to be given back with ``ended(_:)`` or ``putBack(_:_:)``.
  struct Turn {
    fileprivate enum Line { case urgent, new, begun }
    fileprivate let line: Line
    fileprivate let source: Source
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let capacity: Int
  private let capacityOfSource: Int

  /// Lists that wait, begun ones included.
  private var count = 0
  private var urgent: [Element] = []
  private var waiting: [Source: [Element]] = [:]
  /// Sources of which something waits and nothing is being read; the next one first.
  private var newTurns: [Source] = []
  private var begun: [(element: Element, source: Source)] = []
  private var isNextBegun = false
  private var isClosed = false

  init(capacity: Int, ofSource capacityOfSource: Int) {
    self.capacity = capacity
    self.capacityOfSource = capacityOfSource
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  private func locked<R>(_ body: () -> R) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }

  func append(_ element: Element, from source: Source) -> Admission {
    locked {
      if isClosed { return .closed }
      if count >= capacity { return .full }
      // Whoever has something being read has an entry as well, and no turn until that is done.
      guard var line = waiting[source] else {
        waiting[source] = [element]
        newTurns.append(source)
        count += 1
        pthread_cond_signal(condition)
        return .admitted
      }
      if line.count >= capacityOfSource { return .fullOfSource }
      line.append(element)
      waiting[source] = line
      count += 1
      return .admitted
    }
  }

  /// Puts what must not be lost and is rare before everything that waits, over the bounds as well.
  func prepend(_ element: Element) {
    locked {
      // Nobody takes it any more; it would only delay the end.
      if isClosed { return }
      urgent.append(element)
      pthread_cond_signal(condition)
    }
  }

  /// Waits until there is something to read; nil where there is not and never will be.
  func take() -> (Element, Turn)? {
    locked {
      while urgent.isEmpty, newTurns.isEmpty, begun.isEmpty {
        if isClosed { return nil }
        pthread_cond_wait(condition, mutex)
      }
      if !urgent.isEmpty {
        return (urgent.removeFirst(), Turn(line: .urgent, source: nil))
      }
      if !begun.isEmpty, isNextBegun || newTurns.isEmpty {
        isNextBegun = false
        count -= 1
        let (element, source) = begun.removeFirst()
        return (element, Turn(line: .begun, source: source))
      }
      isNextBegun = true
      let source = newTurns.removeFirst()
      count -= 1
      return (waiting[source]!.removeFirst(), Turn(line: .new, source: source))
    }
  }

  /// What was taken is done.
  func ended(_ turn: Turn) {
    guard turn.line != .urgent else { return }
    locked {
      if waiting[turn.source]!.isEmpty {
        waiting[turn.source] = nil
      } else {
        newTurns.append(turn.source)
      }
    }
  }

  /// There is more to be read of what was taken.
  func putBack(_ element: Element, _ turn: Turn) {
    locked {
      switch turn.line {
      case .urgent: urgent.insert(element, at: 0)
      case .new:
        begun.append((element, turn.source))
        count += 1
      case .begun:
        begun.insert((element, turn.source), at: 0)
        count += 1
      }
    }
  }

  /// Nothing more gets in; what is in can still be taken.
  func close() {
    locked {
      isClosed = true
      pthread_cond_broadcast(condition)
    }
  }
}
