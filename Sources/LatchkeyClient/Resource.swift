public import LockContent

/// Named, typed values: what a holder says of itself as data.
public typealias Attributes = LockContent.Attributes
/// One of them.
public typealias AttributeValue = LockContent.AttributeValue

/// What a resource is for.
public enum ResourceKind: String, Sendable, CaseIterable {
  /// Programs contend for it; its holder is the one that may act.
  case lock
  /// A program announces that it lives.
  case presence
}

/// A key that an owner holds under a lease.
public struct Resource: Sendable, Equatable {
  /// What is held: 1 to 512 bytes of UTF-8 without NUL.
  public var key: String
  /// What it is for.
  public var kind: ResourceKind
  /// Who holds it: 1 to 512 bytes of UTF-8 without NUL.
  public var owner: String
  /// What the owner wants to be known: at most 65,536 bytes of UTF-8 without NUL.
  public var value: String

  /// The value as named, typed values, where it is a JSON object that they can hold exactly.
  public var attributes: Attributes? { Attributes(exactly: value) }
  /// What is stuck on it, by name. Servers before wire v3 do not show them.
  public var labels: [String: String] = [:]
  /// When the holder says that it was granted the resource, since 1970-01-01T00:00:00Z. Nil where it does
  /// not say, and from servers before wire v3.
  public var grantedAt: Duration?

  /// The fencing token of the grant. Nil from servers that speak wire v1 only.
  public var token: Int64?
  /// How often the key's record was written. Nil from servers that speak wire v1 only.
  public var revision: Int64?
  /// The length of the lease. Nil from servers that speak wire v1 only.
  public var lease: Duration?

  /// Describes a resource; checks nothing.
  public init(key: String, kind: ResourceKind, owner: String, value: String) {
    self.key = key
    self.kind = kind
    self.owner = owner
    self.value = value
  }

  /// - Throws: ``LatchkeyError/Code/invalidRequest`` where both value and attributes are given, or
  ///   attributes that no JSON has.
  init(
    _ key: String, _ kind: ResourceKind, owner: String, value: String, attributes: Attributes?,
    labels: [String: String], grantedAt: Duration? = nil
  ) throws(LatchkeyError) {
    self.init(key: key, kind: kind, owner: owner, value: value)
    if let attributes {
      guard value.isEmpty else {
        throw LatchkeyError(.invalidRequest, "give a value or attributes, not both")
      }
      self.value = try attributes.checkedJSON
    }
    self.labels = labels
    self.grantedAt = grantedAt
  }
}

extension Attributes {
  /// - Throws: ``LatchkeyError/Code/invalidRequest`` where no JSON has them.
  var checkedJSON: String {
    get throws(LatchkeyError) {
      guard isSound else {
        throw LatchkeyError(
          .invalidRequest,
          "attributes have finite numbers, text without NUL, at most \(Self.levelsMax) levels, and "
            + "at most \(StreamSafe.nonStartersMax) combining marks in a row in a name")
      }
      return json
    }
  }
}
