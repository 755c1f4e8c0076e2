import Crypto

/// JWTs that were looked at before, by their digests: each is verified once. Belongs to one thread at a time.
package struct VerifiedJWTs {
  /// With more all are forgotten, and verified anew.
  static let countMax = 16_384

  private struct Entry {
    let identity: Identity
    /// In seconds since 1970.
    let until: Int64
  }

  private var entries: [SHA256Digest: Entry] = [:]

  package init() {}

  package func identity(
    of token: [UInt8], at now: Int64
  ) -> (identity: Identity, until: Int64)? {
    guard let entry = entries[SHA256.hash(data: token)], entry.until > now else { return nil }
    return (entry.identity, entry.until)
  }

  package mutating func note(_ token: [UInt8], of identity: Identity, until: Int64) {
    if entries.count >= Self.countMax { entries = [:] }
    entries[SHA256.hash(data: token)] = Entry(identity: identity, until: until)
  }
}
