/// Opens connections on a thread of its own, where that may take long: who needs one does without
/// meanwhile, instead of having everybody behind it wait.
///
/// Asked from one thread.
final class ConnectionOpening<Connection> {
  /// `@unchecked Sendable`: made by one thread, then used by the one that it is handed to.
  private struct Attempt: @unchecked Sendable {
    let result: Result<Connection, StoreError>
  }

  private let orders: BatchQueue<Void>
  private let attempts: BatchQueue<Attempt>
  private let patienceNanoseconds: Int64
  private var isUnderWay = false

  /// - Parameters:
  ///   - patienceNanoseconds: How long an attempt that has just begun is waited for.
  ///   - tried: Called on that thread when an attempt is over that was not waited for to its end.
  init(
    patienceNanoseconds: Int64, tried: @escaping @Sendable () -> Void = {},
    _ open: @escaping @Sendable () throws(StoreError) -> Connection
  ) {
    self.patienceNanoseconds = patienceNanoseconds
    let (orders, attempts) = (
      BatchQueue<Void>(capacity: 1), BatchQueue<Attempt>(capacity: 1)
    )
    (self.orders, self.attempts) = (orders, attempts)
    // Nobody joins it: an attempt may outlast the server.
    let isStarted = BlockingThread.detached {
      while !orders.hasEnded {
        guard !orders.take(max: 1, waitNanoseconds: nil).isEmpty else { continue }
        attempts.appendAlways(Attempt(result: Result(catching: open)))
        tried()
      }
    }
    precondition(isStarted, "cannot start a thread")
  }

  deinit { orders.close() }

  /// A connection; nil while one is being opened.
  ///
  /// - Throws: What an attempt came to. The next call begins another one.
  func take() throws(StoreError) -> Connection? {
    let patience = isUnderWay ? 0 : patienceNanoseconds
    if !isUnderWay { orders.appendAlways(()) }
    isUnderWay = true
    guard let attempt = attempts.take(max: 1, waitNanoseconds: patience).first else { return nil }
    isUnderWay = false
    return try attempt.result.get()
  }
}
