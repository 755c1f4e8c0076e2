package import LockContent

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

  /// 1 to those of ``secondsMax``.
  package let nanoseconds: Int64

  /// Nil where the length is out of bounds, as in the other units.
  package init?(nanoseconds: Int64) {
    guard (1...Self.secondsMax * 1_000_000_000).contains(nanoseconds) else { return nil }
    self.nanoseconds = nanoseconds
  }

  package init?(milliseconds: Int64) { self.init(milliseconds, unitNanoseconds: 1_000_000) }

  package init?(seconds: Int64) { self.init(seconds, unitNanoseconds: 1_000_000_000) }

  private init?(_ count: Int64, unitNanoseconds: Int64) {
    let (nanoseconds, overflow) = count.multipliedReportingOverflow(by: unitNanoseconds)
    guard !overflow else { return nil }
    self.init(nanoseconds: nanoseconds)
  }

  package static let longest = Lease(seconds: secondsMax)!

  // Rounded up: who counts in a coarser unit must not end it early.
  package var milliseconds: Int64 { (nanoseconds + 999_999) / 1_000_000 }
  package var seconds: Int64 { (nanoseconds + 999_999_999) / 1_000_000_000 }

  package static func < (a: Lease, b: Lease) -> Bool { a.nanoseconds < b.nanoseconds }
}

/// A point in time as somebody states it: for people, never compared with a clock.
package struct StatedTime: Equatable, Sendable {
  /// Since 1970-01-01T00:00:00Z, without leap seconds; in the years 1 to 9999.
  package var seconds: Int64
  /// 0 to 999,999,999, on top.
  package var nanoseconds: Int32

  package static let secondsRange: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

  /// Nil where it is out of bounds.
  package init?(seconds: Int64, nanoseconds: Int32) {
    guard Self.secondsRange.contains(seconds), (0..<1_000_000_000).contains(nanoseconds) else {
      return nil
    }
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// Nil where it is out of bounds.
  package init?(milliseconds: Int64) {
    let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1_000)
    self.init(
      seconds: rest < 0 ? seconds - 1 : seconds,
      nanoseconds: Int32(rest < 0 ? rest + 1_000 : rest) * 1_000_000)
  }

  /// Since 1970-01-01T00:00:00Z, rounded down.
  package var milliseconds: Int64 { seconds * 1_000 + Int64(nanoseconds / 1_000_000) }
}

/// Who holds a key, and what they said with it.
package struct Holder: Equatable, Sendable {
  package var kind: Kind
  package var owner: String
  package var content: Content
  package var lease: Lease
  /// By name.
  package var labels: [String: String]
  /// When the holder says that it was granted the resource; nil where it did not.
  package var grantedAt: StatedTime?
  /// Who it was that acquired it, as far as the server could tell; empty where it could not.
  package var identity = ""

  package init(
    kind: Kind, owner: String, content: Content, lease: Lease, labels: [String: String] = [:],
    grantedAt: StatedTime? = nil
  ) {
    self.kind = kind
    self.owner = owner
    self.content = content
    self.lease = lease
    self.labels = labels
    self.grantedAt = grantedAt
  }
}

/// Who asks for a change.
package struct Caller: Equatable, Sendable {
  /// As far as the server can tell; empty where it cannot.
  package var identity: String
  /// Whether it may keep and give back what another identity has taken.
  package var mayBreak: Bool
  /// How many keys its identity may hold at the same time; nil for as many as it likes.
  package var heldMax: Int?
  /// How many of its requests may wait at a server.
  package var waitingMax: Int?
  /// Where it asks from; nil where no account is kept.
  package var origin: CallOrigin?

  package init(
    identity: String, mayBreak: Bool, heldMax: Int? = nil, waitingMax: Int? = nil,
    origin: CallOrigin? = nil
  ) {
    self.identity = identity
    self.mayBreak = mayBreak
    self.heldMax = heldMax
    self.waitingMax = waitingMax
    self.origin = origin
  }

  /// The server itself, and everybody where nobody's rights are looked at.
  package static let anybody = Caller(identity: "", mayBreak: true)
  /// Who may not ask for it.
  package static let nobody: Caller = {
    var nobody = Caller(identity: "", mayBreak: false)
    nobody.isDenied = true
    return nobody
  }()

  package private(set) var isDenied = false

  /// Whether what `holder` has is the caller's to keep or to give back. What nobody known has taken is anybody's
  /// who knows its name.
  package func mayHave(_ holder: Holder) -> Bool {
    mayBreak || holder.identity.isEmpty || holder.identity.isSameName(as: identity)
  }
}

/// A wish to hold a key: a new grant, or a new lease for the owner that holds it already.
package struct Claim: Equatable, Sendable {
  package var kind: Kind
  package var owner: String
  package var lease: Lease
  /// Nil: as it was on a renewal, empty on a new grant.
  package var content: Content?
  /// Labels to be set; one with an empty text is taken off. Others stay on a renewal.
  package var labels: [String: String]
  /// Nil: as it was on a renewal.
  package var grantedAt: StatedTime?
  package var caller = Caller.anybody

  package init(
    kind: Kind, owner: String, lease: Lease, content: Content? = nil,
    labels: [String: String] = [:], grantedAt: StatedTime? = nil
  ) {
    self.kind = kind
    self.owner = owner
    self.lease = lease
    self.content = content
    self.labels = labels
    self.grantedAt = grantedAt
  }

  /// Whether it is a claim of the owner that `holder` is.
  package func isOfOwner(_ holder: Holder) -> Bool {
    owner.isSameName(as: holder.owner) && caller.mayHave(holder)
  }

  /// What it makes of the owner's present hold, or of none.
  package func holder(renewing current: Holder?) -> Holder {
    var labels = current?.labels ?? [:]
    if !self.labels.isEmpty { labels.change(self.labels) }
    var holder = Holder(
      kind: kind, owner: owner, content: (current?.content ?? .empty).changed(to: content),
      lease: lease, labels: labels, grantedAt: grantedAt ?? current?.grantedAt)
    // A grant stays whose it is.
    holder.identity = current.map(\.identity) ?? caller.identity
    return holder
  }
}

extension [String: String] {
  /// Whether both have the same labels, by the bytes of their texts.
  package func isSame(as other: [String: String]) -> Bool {
    count == other.count
      && allSatisfy { other[$0.key]?.isSameText(as: $0.value) ?? false }
  }

  /// Sets labels, and takes off those that are to have an empty text.
  package mutating func change(_ changes: [String: String]) {
    for (name, text) in changes { self[name] = text.isEmpty ? nil : text }
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
