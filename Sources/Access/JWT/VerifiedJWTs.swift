import Crypto

/// JWTs that were looked at before, by their digests: each is verified once. Belongs to one thread at a time.
package struct VerifiedJWTs {
  /// With more all are forgotten, and verified anew.
  static let countMax = 16_384
  static let bytesMax = 8 << 20

  package struct Entry {
    package let identity: Identity
    /// In seconds since 1970.
    package let until: Int64
    /// The JWT itself, for all who keep it: those who wait may be many.
    package let token: [UInt8]
  }

  private var entries: [SHA256Digest: Entry] = [:]
  private var bytes = 0

  package init() {}

  /// Nil where it was not looked at, or is not valid any more.
  package func entry(of token: [UInt8], at now: Int64) -> Entry? {
    guard let entry = entries[SHA256.hash(data: token)], entry.until > now else { return nil }
    return entry
  }

  package mutating func note(_ token: [UInt8], of identity: Identity, until: Int64) {
    if entries.count >= Self.countMax || bytes >= Self.bytesMax { (entries, bytes) = ([:], 0) }
    bytes += token.count
    entries[SHA256.hash(data: token)] = Entry(identity: identity, until: until, token: token)
  }
}
