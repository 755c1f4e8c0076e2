import NIOCore
import WireSchema

/// What is asked, and on which terms.
struct Inquiry: Sendable {
  var question: Question
  /// Asked instead where the server's wire version cannot carry the question.
  var fallback: Question?
  /// Whether the call asks again by itself where another attempt may fare better. Another wire
  /// version is tried in any case: nothing has been done then.
  var isRepeated = true
  var terms: Terms

  /// What holds for each attempt.
  struct Terms: Sendable {
    var deadline: Instant
    /// From when on a connection is waited for only until every address of every endpoint was tried
    /// in vain, which may be so by then; nil: until `deadline`.
    var patienceEnd: Instant?
    /// After how long without an answer the server is suspected; nil leaves that to the deadline.
    var overdueAfter: Duration?
    /// How long the link may pause at most, before jitter, while this waits for a connection; nil: as
    /// long as it likes.
    var pauseMax: Duration?
    /// Whether it is about something that is held, which goes on while the client shuts down.
    var isOfHold = false
  }

  init(_ question: Question, deadline: Instant, isOfHold: Bool = false) {
    self.question = question
    terms = Terms(deadline: deadline, isOfHold: isOfHold)
  }
}

/// What a call brought.
struct CallOutcome: Sendable {
  var outcome: AttemptOutcome
  /// Whether an attempt before this one may have been carried out.
  var isAfterUncertainty: Bool
  var usedFallback: Bool
}

/// Decides what follows a failed attempt of a call.
struct RetryState: Equatable {
  enum Next: Equatable {
    case fail
    case question
    case fallback
  }

  let hasFallback: Bool
  let isRepeated: Bool
  /// Whether an attempt that failed may have been carried out.
  private(set) var mayHaveHappened = false
  private(set) var usesFallback = false
  private var versionMoves = 0
  private var hasShownAnotherToken = false

  init(hasFallback: Bool, isRepeated: Bool) {
    self.hasFallback = hasFallback
    self.isRepeated = isRepeated
  }

  /// - Parameter isWanted: Whether there is time left, and somebody who waits for it.
  mutating func next(after failure: AttemptFailure, isWanted: Bool) -> Next {
    mayHaveHappened = mayHaveHappened || failure.mayHaveHappened
    guard isWanted else { return .fail }
    if failure.error.code == .requiresNewerPeer, hasFallback, !usesFallback {
      usesFallback = true
      return .fallback
    }
    // The next server may be a newer one.
    usesFallback = false
    switch failure.retry {
    case .never: return .fail
    case .again: return isRepeated ? .question : .fail
    case .inAnotherVersion:
      versionMoves += 1
      return versionMoves <= ClientLimits.versionMovesMax ? .question : .fail
    case .withAnotherToken:
      defer { hasShownAnotherToken = true }
      return hasShownAnotherToken ? .fail : .question
    }
  }
}

/// A request with its retries: one attempt after another, until there is an answer, a failure that
/// another attempt would not mend, or the deadline. Belongs to the link's event loop.
final class Call {
  private let inquiry: Inquiry
  private let driver: LinkDriver
  private let onOverdue: () -> Void
  private let completion: (CallOutcome) -> Void
  private var retries: RetryState
  private var attempt: LinkState.AttemptID?
  private var isCancelled = false

  /// - Parameters:
  ///   - onOverdue: Called when an attempt has been unanswered for as long as the terms say.
  ///   - completion: Called once, not before ``start()``.
  init(
    _ inquiry: Inquiry, _ driver: LinkDriver, onOverdue: @escaping () -> Void = {},
    completion: @escaping (CallOutcome) -> Void
  ) {
    self.inquiry = inquiry
    self.driver = driver
    self.onOverdue = onOverdue
    self.completion = completion
    retries = RetryState(
      hasFallback: inquiry.fallback != nil, isRepeated: inquiry.isRepeated)
  }

  func start() {
    if let error = driver.configuration.error {
      return complete(.failed(AttemptFailure(error: error, mayHaveHappened: false)))
    }
    tryOnce(inquiry.question)
  }

  /// The caller does not want it any more: completes it as `cancelled`, unless it is complete.
  func cancel() {
    isCancelled = true
    if let attempt { driver.cancel(attempt) }
  }

  private func tryOnce(_ question: Question) {
    let id = driver.nextAttemptID()
    attempt = id
    var terms = inquiry.terms
    // What may have been done is asked for until it is known, or the deadline.
    if retries.mayHaveHappened { terms.patienceEnd = nil }
    driver.submit(
      id, Attempt(question, terms, onOverdue: onOverdue) { self.attemptEnded($0) })
  }

  private func attemptEnded(_ outcome: AttemptOutcome) {
    attempt = nil
    guard case .failed(var failure) = outcome else { return complete(outcome) }
    let isWanted = !isCancelled && driver.time.now < inquiry.terms.deadline
    let next = retries.next(after: failure, isWanted: isWanted)
    failure.mayHaveHappened = retries.mayHaveHappened
    switch next {
    case .fail: complete(.failed(failure))
    case .question: tryAgain(inquiry.question, after: failure)
    case .fallback: tryAgain(inquiry.fallback ?? inquiry.question, after: failure)
    }
  }

  /// Not before whoever told of the failure is done with what follows from it.
  private func tryAgain(_ question: Question, after failure: AttemptFailure) {
    let this = NIOLoopBound(self, eventLoop: driver.loop)
    driver.loop.execute {
      let call = this.value
      guard !call.isCancelled else {
        var cancelled = LinkDriver.cancelledFailure
        cancelled.mayHaveHappened = failure.mayHaveHappened
        return call.complete(.failed(cancelled))
      }
      call.tryOnce(question)
    }
  }

  private func complete(_ outcome: AttemptOutcome) {
    completion(
      CallOutcome(
        outcome: outcome, isAfterUncertainty: retries.mayHaveHappened,
        usedFallback: retries.usesFallback))
  }
}
