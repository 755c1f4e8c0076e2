import WireSchema

// A call with its retries, for those who wait for it in a task.
extension LatchkeyClient {
  /// The deadline of a call that begins now.
  var requestDeadline: Instant { environment.time.now + configuration.requestTimeout }

  /// Makes a call, as often as it takes, on whichever server serves.
  func make(
    _ call: NewestWire.Request, deadline: Instant
  ) async throws(AttemptFailure) -> CallAnswer {
    try await make(call, Inquiry(.call(call), deadline: deadline))
  }

  /// Makes a call on terms of its own.
  ///
  /// - Parameter fallback: What is asked where the server's wire version cannot carry `call`.
  func make(
    _ call: NewestWire.Request, otherwise fallback: NewestWire.Request? = nil, _ inquiry: Inquiry
  ) async throws(AttemptFailure) -> CallAnswer {
    var inquiry = inquiry
    inquiry.fallback = fallback.map(Question.call)
    return try CallAnswer(
      try await outcome(of: inquiry), to: call, otherwise: fallback, environment)
  }

  /// Asks until there is an answer, a failure that another attempt would not mend, or `deadline`.
  func ask(
    _ question: Question, deadline: Instant
  ) async throws(AttemptFailure) -> AttemptOutcome {
    try await outcome(of: Inquiry(question, deadline: deadline)).outcome
  }

  private func outcome(of inquiry: Inquiry) async throws(AttemptFailure) -> CallOutcome {
    let outcome = await link.ask(inquiry)
    if case .failed(let failure) = outcome.outcome { throw failure }
    return outcome
  }
}

/// What a server answered to a call.
struct CallAnswer: Sendable {
  var response: NewestWire.Response
  /// When the attempt was sent that was answered.
  var sentAt: Instant
  /// Whether an earlier attempt may have been carried out.
  var isAfterUncertainty: Bool

  /// - Throws: Why there is no answer, or none that can be understood.
  init(
    _ outcome: CallOutcome, to call: NewestWire.Request, otherwise fallback: NewestWire.Request?,
    _ environment: ClientEnvironment
  ) throws(AttemptFailure) {
    let answered: Answered
    switch outcome.outcome {
    case .answered(let answer): answered = answer
    case .failed(let failure): throw failure
    case .introduced: preconditionFailure("a call was answered with an introduction")
    }
    guard let version = answered.version else {
      preconditionFailure("a call was answered with a page")
    }
    let question = outcome.usedFallback ? fallback ?? call : call
    do {
      response = try environment.versions.version(version).decode(answered.body, of: question)
    } catch {
      throw AttemptFailure(error: error, mayHaveHappened: true)
    }
    sentAt = answered.sentAt
    isAfterUncertainty = outcome.isAfterUncertainty
  }
}
