import Access
import LockCore
import WireSchema

/// Who asks, and what they may.
struct Asker {
  /// Nil for who has proved nothing.
  let identity: Identity?
  /// Nil where nobody's rights are looked at.
  let permissions: Permissions?
  /// What it uses; nil where it has no limits.
  var quota: Quota?
  var evidence = Evidence.connection

  /// By what it is known.
  enum Evidence {
    /// What its connection has shown.
    case connection
    case token(Tokens.Digest)
    /// - Parameters:
    ///   - until: In seconds since 1970.
    ///   - number: Of the keys by which it was verified.
    case jwt([UInt8], until: Int64, number: Int)
  }

  /// As people call it.
  var name: String { identity?.name ?? "nobody (who has shown neither token nor certificate)" }

  func may(_ right: Right, on key: String = "") -> Bool {
    permissions?.may(right, on: key) ?? true
  }

  /// What it is told where it may not do something, whether or not there is anything.
  func denied(_ right: Right, on key: String) -> WireError {
    WireError(
      .permissionDenied, Self.word,
      "\(name) may not \(right) \(key.isEmpty ? "any key" : "\"\(key)\"")")
  }

  static let word = "permission-denied"
  static let limitWord = "limit-reached"

  // MARK: - Limits

  /// Takes account of a request that comes.
  ///
  /// - Throws: Where it is one too many.
  func takeRequest(at now: MonotonicTime) throws(RPCError) {
    guard let quota, let max = permissions?.limits.requests else { return }
    guard quota.takesRequest(max: max, at: now) else {
      throw RPCError(
        .resourceExhausted,
        "\(Self.limitWord): \(name) has made as many requests in a second as its limit allows, \(max)"
      )
    }
  }
}
