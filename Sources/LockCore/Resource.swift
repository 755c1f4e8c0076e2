/// What kind of resource a key holds.
package enum Kind: Int64, Sendable, CaseIterable {
  /// Programs contend for it; its holder is the one that may act.
  case lock = 1
  /// A program announces that it lives.
  case presence = 2
}

/// How long a holder keeps a resource after its last accepted request.
///
/// A lease is a length, never a point in time: no clock of one host is compared to that of another.
package struct Lease: Hashable, Comparable, Sendable {
  /// The longest lease that is granted: 365 days.
  package static let secondsMax: Int64 = 31_536_000

  /// Whole seconds, 1 to ``secondsMax``.
  package let seconds: Int64

  /// Nil where `seconds` is out of bounds.
  package init?(seconds: Int64) {
    guard (1...Self.secondsMax).contains(seconds) else { return nil }
    self.seconds = seconds
  }

  package static let longest = Lease(seconds: secondsMax)!

  package var nanoseconds: Int64 { seconds * 1_000_000_000 }

  package static func < (a: Lease, b: Lease) -> Bool { a.seconds < b.seconds }
}

/// Who holds a key, and what they said with it.
package struct Holder: Equatable, Sendable {
  package var kind: Kind
  package var owner: String
  package var value: String
  package var lease: Lease

  package init(kind: Kind, owner: String, value: String, lease: Lease) {
    self.kind = kind
    self.owner = owner
    self.value = value
    self.lease = lease
  }
}

/// A point on a monotonic clock, in nanoseconds from an origin that only this process knows.
package struct MonotonicTime: Hashable, Comparable, Sendable {
  package var nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static func < (a: MonotonicTime, b: MonotonicTime) -> Bool {
    a.nanoseconds < b.nanoseconds
  }
  package static func + (a: MonotonicTime, nanoseconds: Int64) -> MonotonicTime {
    MonotonicTime(nanoseconds: a.nanoseconds &+ nanoseconds)
  }
  package static func - (a: MonotonicTime, b: MonotonicTime) -> Int64 {
    a.nanoseconds &- b.nanoseconds
  }
}
