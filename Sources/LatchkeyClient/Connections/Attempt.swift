import HTTP
import WireSchema

/// What an attempt asks.
enum Question: Sendable {
  case call(NewestWire.Request)
  /// GET of one of the server's own pages, which have no wire version.
  case page(path: String)
  /// Who the server is: answered once its handshake is here.
  case introduction
}

/// What an attempt brought.
enum AttemptOutcome: Sendable {
  case answered(Answered)
  case introduced(ConnectionInfo)
  case failed(AttemptFailure)
}

/// A successful response.
struct Answered: Sendable {
  var body: [UInt8]
  /// The wire version of the call, nil for a page.
  var version: UInt32?
  /// When the request was handed to the connection: no later than it was sent.
  var sentAt: Instant
}

struct AttemptFailure: Error, Sendable {
  var error: LatchkeyError
  /// Whether the server may have carried out the request.
  var mayHaveHappened: Bool
  var retry = Retry.never
  /// The wire version of a request that a server refused.
  var version: UInt32?

  enum Retry {
    case never
    /// The link has moved on, or will after a pause.
    case again
    /// The request has to be written in another wire version.
    case inAnotherVersion
    /// There is another token to show.
    case withAnotherToken
  }
}

/// An attempt under way. Belongs to the link's event loop.
final class Attempt {
  let question: Question
  let terms: Inquiry.Terms
  private let onOverdue: () -> Void
  private let completion: (AttemptOutcome) -> Void
  var alarm: Alarm?
  /// Looks whether the server is suspect; while it is sent, and has terms that ask for it.
  var overdueAlarm: Alarm?
  var patienceAlarm: Alarm?
  /// Whether all endpoints failed in turn while it waited for a connection.
  var hasSeenAllFail = false
  /// Where it was sent; nil while it waits for a connection.
  var flight: Flight?

  struct Flight {
    var connection: Connection
    /// Nil for what is not a request.
    var request: HTTP2RequestID?
    var sentAt: Instant

    /// Whether nothing has come from the server since the request was sent.
    var isSilent: Bool { connection.watch.heardAt <= sentAt }
  }

  /// - Parameters:
  ///   - onOverdue: Called once, where the terms say when.
  ///   - completion: Called once, whatever becomes of it.
  init(
    _ question: Question, _ terms: Inquiry.Terms, onOverdue: @escaping () -> Void = {},
    completion: @escaping (AttemptOutcome) -> Void
  ) {
    self.question = question
    self.terms = terms
    self.onOverdue = onOverdue
    self.completion = completion
  }

  func becameOverdue() { onOverdue() }

  func complete(_ outcome: AttemptOutcome) {
    alarm?.cancel()
    overdueAlarm?.cancel()
    // It holds the attempt.
    overdueAlarm = nil
    patienceAlarm?.cancel()
    flight = nil
    completion(outcome)
  }
}
