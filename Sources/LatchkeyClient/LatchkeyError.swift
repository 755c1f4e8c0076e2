/// Why something asked of a ``LatchkeyClient`` did not happen.
///
/// Print it as it is (`"\(error)"`), or its ``message``. The library does without Foundation, whose
/// `localizedDescription` knows nothing of either.
public struct LatchkeyError: Error, Sendable, CustomStringConvertible {
  /// What happened, for programs. More codes may come: have a default.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The code's name, which stays the same in all releases.
    public let rawValue: String
    /// A code of that name, known here or not.
    public init(rawValue: String) { self.rawValue = rawValue }
    /// The code's name.
    public var description: String { rawValue }

    /// Another owner holds the key; its lease was not touched.
    public static let heldByAnother = Code(rawValue: "held-by-another")
    /// Nobody holds the key. Only ``LatchkeyClient/fetch(_:)`` meets it, and answers nil.
    static let notFound = Code(rawValue: "not-found")
    /// Another owner held the key for as long as the caller wanted to wait.
    public static let waitEnded = Code(rawValue: "wait-ended")
    /// The owner holds the key already, by another call or another program of the same name, which
    /// goes on holding it.
    public static let alreadyHeld = Code(rawValue: "already-held")
    /// The lease is over: it could not be renewed in time, somebody else released the key, or
    /// another owner holds it. What the body did from then on was not protected by the lock.
    public static let leaseLost = Code(rawValue: "lease-lost")
    /// The request cannot be granted as it stands, by no server of this version.
    public static let invalidRequest = Code(rawValue: "invalid-request")
    /// No server could be reached, or the one that was cannot serve now. The request may or may not
    /// have been carried out.
    public static let unavailable = Code(rawValue: "unavailable")
    /// No answer came in time. The request may or may not have been carried out.
    public static let deadlineExceeded = Code(rawValue: "deadline-exceeded")
    /// Client and server have no wire version in common.
    public static let noCommonVersion = Code(rawValue: "no-common-version")
    /// The grant is over, or the key is held by another owner.
    public static let notTheHolder = Code(rawValue: "not-the-holder")
    /// The server's wire version cannot carry the request: ``LatchkeyError/requirement`` says what is
    /// missing. Nothing was sent.
    public static let requiresNewerPeer = Code(rawValue: "requires-newer-peer")
    /// The resource uses what only a newer server can do.
    public static let requiresNewerServer = Code(rawValue: "requires-newer-server")
    /// The server knows who asks, and that one may not do this: the message names the right and the key.
    public static let permissionDenied = Code(rawValue: "permission-denied")
    /// What the client shows of who it is proves nothing to the server.
    public static let unauthenticated = Code(rawValue: "unauthenticated")
    /// A bound of the server or of this client was reached.
    public static let overloaded = Code(rawValue: "overloaded")
    /// The calling task was cancelled. The request may or may not have been carried out.
    public static let cancelled = Code(rawValue: "cancelled")
    /// The client was shut down.
    public static let closed = Code(rawValue: "closed")
    /// The server answered what this client does not understand, or reported a fault of its own.
    public static let unknown = Code(rawValue: "unknown")
  }

  /// What happened, for programs.
  public var code: Code
  /// What happened, in words for a person.
  public var message: String
  /// Who holds the key, where that is the matter and is known.
  public var holder: String?
  /// What the server's wire version lacks, where that is the matter.
  public var requirement: Requirement?
  /// What led to it, where there is more to know.
  public var cause: (any Error)?

  /// Describes an error.
  public init(_ code: Code, _ message: String, holder: String? = nil, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.holder = holder
    self.cause = cause
  }

  /// What a request needs of the server's wire version.
  public struct Requirement: Sendable, Hashable {
    /// In words, such as "renewal by token".
    public var feature: String
    /// The oldest wire version that has it.
    public var needs: Int
    /// The wire version that the server speaks.
    public var has: Int
  }

  /// The error of a request that the server's wire version cannot carry.
  public static func requiresNewerPeer(feature: String, needs: Int, has: Int) -> LatchkeyError {
    var error = LatchkeyError(
      .requiresNewerPeer, "\(feature) needs wire v\(needs), the server speaks v\(has)")
    error.requirement = Requirement(feature: feature, needs: needs, has: has)
    return error
  }

  /// Code, message and cause in one line; not the cause where the message has it already.
  public var description: String {
    let reason = (cause as? LatchkeyError)?.message ?? cause.map { "\($0)" }
    guard let cause, let reason, !message.contains(reason) else { return "\(code): \(message)" }
    return "\(code): \(message) (because of: \(cause))"
  }
}
