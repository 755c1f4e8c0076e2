/// What a client shows of who it is, with every call: a secret that its servers know by a digest, or that they can
/// verify (RFC 6750).
///
/// It is only sent where nobody on the way can read it: with TLS, to a socket of this machine, or to a loopback
/// address. It stands in no description, log or error.
public struct BearerToken: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
  enum Source: Sendable, Hashable {
    case text(String)
    case file(String)
  }

  let source: Source

  /// The longest token, in bytes.
  static let bytesMax = 16_384

  /// A token as it is.
  public static func text(_ token: String) -> BearerToken { BearerToken(source: .text(token)) }

  /// The first line of a file, which is read again every few seconds: what replaces it is used from then on, as where
  /// Kubernetes renews it.
  public static func file(_ path: String) -> BearerToken { BearerToken(source: .file(path)) }

  /// Where it comes from, and nothing of it.
  public var description: String {
    switch source {
    case .text: "a token"
    case .file(let path): "the token in \(path)"
    }
  }

  /// Nothing of it.
  public var customMirror: Mirror { Mirror(self, children: []) }
}
