import SwiftProtobuf
import WireSchema

// The client's terms as messages of the newest wire version.

extension NewestWire.Request {
  static func acquire(
    _ resource: Resource, lease: Duration, wait: Duration = .zero, requestID: String = ""
  ) -> Self {
    .acquire(
      .with {
        $0.key = resource.key
        $0.kind = NewestWire.Kind(resource.kind)
        $0.owner = resource.owner
        // As a text, which may be that of attributes: every server understands it.
        $0.value = resource.value
        $0.labels = resource.labels
        if let time = resource.grantedAt { $0.grantedAt = Google_Protobuf_Timestamp(time) }
        $0.lease = Google_Protobuf_Duration(milliseconds: lease)
        if wait > .zero { $0.wait = Google_Protobuf_Duration(milliseconds: wait) }
        $0.requestID = requestID
      })
  }

  static func release(_ key: String, token: Int64? = nil, owner: String? = nil) -> Self {
    .release(
      .with {
        $0.key = key
        $0.token = token ?? 0
        $0.owner = owner ?? ""
      })
  }
}

extension NewestWire.RenewRequest {
  init(_ renewal: Renewal) {
    self.init()
    key = renewal.key
    token = renewal.token
    if let lease = renewal.lease { self.lease = Google_Protobuf_Duration(milliseconds: lease) }
    if let value = renewal.value { self.value = value }
    labels = renewal.labels
    if let time = renewal.grantedAt { grantedAt = Google_Protobuf_Timestamp(time) }
  }
}

extension Google_Protobuf_Timestamp {
  /// - Parameter time: Since 1970-01-01T00:00:00Z; rounded down to nanoseconds.
  fileprivate init(_ time: Duration) {
    let (seconds, attoseconds) = time.components
    let nanoseconds = attoseconds / 1_000_000_000
    self.init(
      seconds: nanoseconds < 0 ? seconds - 1 : seconds,
      nanos: Int32(nanoseconds < 0 ? nanoseconds + 1_000_000_000 : nanoseconds))
  }
}

extension NewestWire.Kind {
  init(_ kind: ResourceKind) { self = kind == .lock ? .lock : .presence }
}

extension Google_Protobuf_Duration {
  /// In whole milliseconds, rounded up.
  init(milliseconds duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let milliseconds = (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    self.init(
      seconds: seconds + milliseconds / 1_000, nanos: Int32(milliseconds % 1_000) * 1_000_000)
  }
}

extension Duration {
  init(_ message: Google_Protobuf_Duration) {
    self = .seconds(message.seconds) + .nanoseconds(Int64(message.nanos))
  }
}

extension Grant {
  init(_ message: NewestWire.Grant, isRenewal: Bool) {
    self.init(
      key: message.key, owner: message.owner, token: message.token == 0 ? nil : message.token,
      revision: message.revision == 0 ? nil : message.revision, lease: Duration(message.lease),
      isRenewal: isRenewal)
  }
}

extension Resource {
  init(_ message: NewestWire.Resource) throws(LatchkeyError) {
    let kind: ResourceKind
    switch message.kind {
    case .lock: kind = .lock
    case .presence: kind = .presence
    case .unspecified, .UNRECOGNIZED:
      throw LatchkeyError(
        .unknown, "the answer has a resource of unknown kind: \"\(message.key)\"")
    }
    self.init(key: message.key, kind: kind, owner: message.owner, value: message.value)
    token = message.token == 0 ? nil : message.token
    revision = message.revision == 0 ? nil : message.revision
    lease = message.hasLease ? Duration(message.lease) : nil
    labels = message.labels
    if message.hasGrantedAt {
      grantedAt =
        .seconds(message.grantedAt.seconds) + .nanoseconds(Int64(message.grantedAt.nanos))
    }
  }
}

extension LatchkeyError {
  /// What the user of the client hears of an error of the service.
  init(_ error: WireError, cause: (any Error)?) {
    let code: Code =
      switch error.word {
      case "held-by-another": .heldByAnother
      case "not-the-holder": .notTheHolder
      case "not-held": .notFound
      case "needs-newer-server": .requiresNewerServer
      default:
        switch error.code {
        case .alreadyExists: .heldByAnother
        case .invalidArgument: .invalidRequest
        case .resourceExhausted: .overloaded
        case .permissionDenied: .permissionDenied
        default: .unknown
        }
      }
    let refusal = error.details.lazy.compactMap { $0 as? NewestWire.Refusal }.first
    self.init(code, Self.text(of: error, code, refusal), cause: cause)
    if let owner = refusal?.owner, !owner.isEmpty { holder = owner }
  }

  /// What it says to a person: not the word of what ``code`` says.
  private static func text(
    of error: WireError, _ code: Code, _ refusal: NewestWire.Refusal?
  ) -> String {
    let key = refusal.map { "\"\($0.key)\"" } ?? "the key"
    let holder = refusal.flatMap { $0.owner.isEmpty ? nil : "\"\($0.owner)\"" }
    switch code {
    case .heldByAnother: return "\(key) is held by \(holder ?? "another owner")"
    case .notTheHolder:
      return holder.map { "the grant is over, and \($0) holds \(key)" }
        ?? "the grant is over, and nobody holds \(key)"
    default: return error.message
    }
  }

  init(_ refusal: NewestWire.Refusal) {
    self.init(
      WireError(
        .failedPrecondition, refusal.reason, "\"\(refusal.key)\" is refused as \(refusal.reason)",
        details: [refusal]),
      cause: nil)
  }
}
