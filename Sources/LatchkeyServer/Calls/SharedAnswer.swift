import HTTP2
import NIOCore

/// An answer that takes long to make and is the same for everybody: it is made at most once in
/// ``pause``, for all who asked for it meanwhile.
///
/// Belongs to one event loop.
final class SharedAnswer {
  /// From one to the next.
  static let pause = TimeAmount.milliseconds(20)

  private let eventLoop: any EventLoop
  private var waiting: [any Exchange] = []
  /// Whether one was made a moment ago.
  private var isPausing = false

  init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// Has `answer` answer `exchange`, in place or, where one was made a moment ago, later. It is called
  /// once for all who wait by then.
  func add(_ exchange: any Exchange, answer: @escaping ([any Exchange]) -> Void) {
    guard isPausing else {
      answer([exchange])
      return pause(answer)
    }
    waiting.append(exchange)
  }

  private func pause(_ answer: @escaping ([any Exchange]) -> Void) {
    isPausing = true
    eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [weak self] in
      guard let self else { return }
      isPausing = false
      let readers = waiting.filter(\.isOpen)
      waiting = []
      guard !readers.isEmpty else { return }
      answer(readers)
      pause(answer)
    }
  }
}
