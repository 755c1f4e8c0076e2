import LockCore

/// Who asks, as far as that has been proved. Nobody is known as nil.
///
/// The name says how it was proved, so that no two kinds of proof can be taken for each other:
///
/// | proof | name |
/// |---|---|
/// | certificate with a URI | the URI, such as `spiffe://example.org/scheduler` |
/// | certificate with a DNS name | `dns:web.example.org` |
/// | certificate with neither | `cn:` and its common name |
/// | token | `token:` and its name |
/// | JWT | `jwt:` and its subject |
/// | socket of this machine | `user:` and the user's name, or `uid:` and the number |
package struct Identity: Hashable, Sendable, CustomStringConvertible {
  /// The longest name, in bytes.
  package static let bytesMax = NameLimits.identityBytesMax

  private let bytes: NameBytes

  package var name: String { bytes.text }
  package var description: String { name }

  /// - Returns: Nil where the name is empty, too long, or has control characters or blanks: no such identity is
  ///   ever written into a log or a store.
  package init?(_ name: String) {
    guard (1...Self.bytesMax).contains(name.utf8.count),
      name.unicodeScalars.allSatisfy({ !$0.properties.isWhitespace && !Self.isControl($0) })
    else { return nil }
    bytes = NameBytes(name)
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator:
      true
    default: false
    }
  }
}
