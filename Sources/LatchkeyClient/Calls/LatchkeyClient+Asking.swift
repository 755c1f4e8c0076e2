import NIOCore
import WireSchema

// A call with its retries.
extension LatchkeyClient {
  /// The deadline of a call that begins now.
  var requestDeadline: Instant { environment.time.now + configuration.requestTimeout }

  /// Makes a call, as often as it takes, on whichever server serves.
  func make(
    _ call: NewestWire.Request, deadline: Instant
  ) async throws(AttemptFailure) -> (answer: NewestWire.Response, sentAt: Instant) {
    let outcome = try await ask(.call(call), deadline: deadline)
    guard case .answered(let answered) = outcome, let version = answered.version else {
      preconditionFailure("a call was answered with \(outcome)")
    }
    do {
      let version = environment.versions.version(version)
      return (try version.decode(answered.body, of: call), answered.sentAt)
    } catch {
      throw AttemptFailure(error: error, mayHaveHappened: true)
    }
  }

  /// Asks until there is an answer, a failure that another attempt would not mend, or `deadline`.
  func ask(
    _ question: Question, deadline: Instant
  ) async throws(AttemptFailure) -> AttemptOutcome {
    if let configurationError {
      throw AttemptFailure(error: configurationError, mayHaveHappened: false)
    }
    var mayHaveHappened = false
    var versionMoves = 0
    while true {
      let outcome = await link.attempt(question, deadline: deadline)
      guard case .failed(var failure) = outcome else { return outcome }
      mayHaveHappened = mayHaveHappened || failure.mayHaveHappened
      failure.mayHaveHappened = mayHaveHappened
      if failure.retry == .inAnotherVersion { versionMoves += 1 }
      guard failure.retry != .never, versionMoves <= ClientLimits.versionMovesMax,
        environment.time.now < deadline, !Task.isCancelled
      else { throw failure }
    }
  }
}
