import HTTP
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
    waiting.append(exchange)
    if !isPausing { answerAll(answer) }
  }

  private func answerAll(_ answer: @escaping ([any Exchange]) -> Void) {
    let readers = waiting.filter(\.isOpen)
    waiting = []
    isPausing = !readers.isEmpty
    guard isPausing else { return }
    // Before it answers: who is answered may ask again in place.
    eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [weak self] in
      self?.answerAll(answer)
    }
    answer(readers)
  }
}
