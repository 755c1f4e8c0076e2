package import LockContent
package import LockCore
import Synchronization

/// A change that a client or the server itself asks for.
///
/// Indirect, because it waits in lines and is handed on many times: a copy is one reference.
package indirect enum Command: Equatable, Sendable {
  /// Hold `key`: a grant, or the renewal of the owner's own lease.
  case claim(key: String, Claim)
  /// The same; where another owner has the key, the call waits until it is free.
  case claimWaiting(key: String, Claim, Wait)
  /// Renew the owner's own lease. A key that nobody has is refused as one that another has: who asks
  /// may be suspended.
  case renewOwn(key: String, Claim)
  /// Take back a grant that did not reach anybody: frees the key if it is still in that state.
  case withdraw(key: String, Sighting)
  case renew(Renewal)
  /// All of them, in this order, in one transaction; each has an outcome of its own.
  case renewMany([Renewal])
  case release(key: String, GrantName)

  /// Adds the keys that it is about, in order.
  func addKeys(to keys: inout [String]) {
    if case .renewMany(let renewals) = self {
      keys += renewals.lazy.map(\.key)
    } else if let key {
      keys.append(key)
    }
  }

  /// The key that it is about; nil where there are several.
  package var key: String? {
    switch self {
    case .claim(let key, _), .claimWaiting(let key, _, _), .renewOwn(let key, _),
      .release(let key, _), .withdraw(let key, _):
      key
    case .renew(let renewal): renewal.key
    case .renewMany: nil
    }
  }

  /// How many keys it is about.
  var keyCount: Int { if case .renewMany(let renewals) = self { renewals.count } else { 1 } }

  /// What it takes while it waits, in bytes of text.
  var byteCount: Int {
    switch self {
    case .claim(let key, let claim), .claimWaiting(let key, let claim, _),
      .renewOwn(let key, let claim):
      key.utf8.count + claim.byteCount
    case .withdraw(let key, _): key.utf8.count
    case .renew(let renewal): renewal.byteCount
    case .renewMany(let renewals): renewals.reduce(0) { $0 + $1.byteCount }
    case .release(let key, let name): key.utf8.count + (name.owner?.utf8.count ?? 0)
    }
  }
}

extension Holder {
  /// What its text takes, in bytes.
  package var byteCount: Int { owner.utf8.count + content.text.utf8.count + labels.byteCount }
}

extension Claim {
  /// What its text takes, in bytes.
  var byteCount: Int {
    owner.utf8.count + caller.identity.utf8.count + (content?.text.utf8.count ?? 0)
      + labels.byteCount
  }
}

extension [String: String] {
  /// What names and texts take, in bytes.
  fileprivate var byteCount: Int { reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count } }
}

/// How long a call waits while another owner has the key.
package struct Wait: Equatable, Sendable {
  package var end: MonotonicTime
  /// Names the request among those of its owner, so that a retry takes its place; empty: no name.
  package var requestID: String

  package init(end: MonotonicTime, requestID: String = "") {
    self.end = end
    self.requestID = requestID
  }
}

/// A new lease for a grant.
package struct Renewal: Equatable, Sendable {
  package var key: String
  package var token: Int64
  /// Nil leaves its length as it was.
  package var lease: Lease?
  /// Nil leaves it as it was.
  package var content: Content?
  /// As in ``LockCore/Claim/labels``.
  package var labels: [String: String]
  /// Nil leaves it as it was.
  package var grantedAt: StatedTime?
  package var caller = Caller.anybody

  package init(
    key: String, token: Int64, lease: Lease? = nil, content: Content? = nil,
    labels: [String: String] = [:], grantedAt: StatedTime? = nil
  ) {
    self.key = key
    self.token = token
    self.lease = lease
    self.content = content
    self.labels = labels
    self.grantedAt = grantedAt
  }

  /// With what it takes beside its text, since there may be many small ones.
  var byteCount: Int {
    MemoryLayout<Self>.stride + key.utf8.count + (content?.text.utf8.count ?? 0)
      + labels.byteCount
  }
}

/// A question about what is held.
package enum Query: Sendable {
  case fetch(key: String)
  /// Held resources outside of the servers' own part of the key space, in the order of the keys'
  /// bytes. They go to the sink page by page, on a thread of the store. What is held all the time
  /// is in the list once; what comes or goes meanwhile may be, unless the list is of one moment.
  case list(Range, into: any RecordSink)
  /// What servers keep under a prefix, at most ``StoreLimits/prefixRowsMax``.
  case prefix(String)
  /// The shapes, the floor: what the store says of itself.
  case meta

  /// A part of what is held.
  package struct Range: Equatable, Sendable {
    /// Nil stands for every kind.
    package var kind: Kind?
    /// What the keys start with.
    package var prefix: String
    /// Keys greater than this; empty for all.
    package var afterKey: String
    /// At most so many.
    package var countMax: Int
    /// Only those that have all of these attributes and labels, with equal values.
    package var attributes: Attributes = [:]
    package var labels: [String: String] = [:]
    /// Only those of them that are in this set.
    package var visible = KeySet.all
    /// Whether all of it has to be from one snapshot, however long that takes.
    package var isOfOneMoment = false

    package init(
      kind: Kind?, prefix: String = "", afterKey: String = "", countMax: Int = .max
    ) {
      self.kind = kind
      self.prefix = prefix
      self.afterKey = afterKey
      self.countMax = countMax
    }

    var keys: KeyRange { KeyRange(prefix: prefix, after: afterKey) }

    /// The first part of the range that is ``visible``.
    var firstStretch: KeySet.Stretch? { within(visible.stretch(from: keys.lowerBound)) }

    func stretch(after stretch: KeySet.Stretch) -> KeySet.Stretch? {
      within(visible.stretch(after: stretch.text))
    }

    /// Nil for what is behind the range.
    private func within(_ stretch: KeySet.Stretch?) -> KeySet.Stretch? {
      stretch.flatMap {
        $0.text.utf8.starts(with: prefix.utf8) || prefix.utf8.starts(with: $0.text.utf8) ? $0 : nil
      }
    }

    /// Whether `holder` has what is asked for beside kind and key.
    func isMet(by holder: Holder) -> Bool {
      labels.allSatisfy { holder.labels[$0.key]?.isSameName(as: $0.value) ?? false }
        && (attributes.values.isEmpty || hasAttributes(holder.content.attributes))
    }

    private func hasAttributes(_ present: Attributes?) -> Bool {
      guard let present else { return false }
      return attributes.values.allSatisfy { present.value(ofExactly: $0.key) == $0.value }
    }
  }
}

/// Takes a long list page by page, so that it never stands in memory as records.
package protocol RecordSink: AnyObject, Sendable {
  /// Whether anybody still waits for the list. Asked at every page, which may bring nothing.
  var isWanted: Bool { get }
  /// - Returns: Whether to go on; false where there is no room for more, or nobody waits for it any
  ///   more.
  func append(_ records: [LockRecord]) -> Bool
}

/// What became of a command or a query. As small as the most frequent ones need.
package enum Outcome: Equatable, Sendable {
  /// The owner holds the key.
  case claimed(token: Int64, revision: Int64, isNewGrant: Bool)
  indirect case renewed(LockRecord)
  /// What became of each of several renewals.
  case many([StoreResult])
  /// The grant is over; whether it was before does not matter.
  case released
  indirect case refused(Reason, HeldState?)
  /// What a fetch found; nil where nobody holds the key.
  indirect case found(LockRecord?)
  case listed(ListEnd)
  case records([LockRecord])
  /// With the number of the last row.
  indirect case meta(StoreMeta, lastRow: Int64)

  /// Why a request was refused.
  package enum Reason: Equatable, Sendable {
    /// Another owner holds the key.
    case heldByAnother
    /// The grant in question is over, or is another one.
    case notTheHolder
    /// Another identity has taken the grant in question, and the caller may not break it.
    case ofAnotherIdentity
    /// The caller may not ask for it.
    case denied
    /// What holds the key uses a feature that only servers of a newer shape know.
    case needsNewerServer(shape: Int64)
    /// Another owner holds the key, and as many wait as there is room for.
    case tooManyWaiters
    /// It would have more labels than there is room for.
    case tooManyLabels
    /// The caller's identity holds as many keys as it may.
    case tooManyHeld(max: Int)
    /// As many requests of the caller's identity wait as may.
    case tooManyWaiting(max: Int)
    /// Another call of the same request waits in this one's place.
    case superseded
  }

  /// How a list ended.
  package enum ListEnd: Sendable {
    case complete
    /// There are more than the range's bound.
    case more
    /// The sink wanted no more.
    case stopped
  }
}

/// The state that a request was refused for.
package struct HeldState: Equatable, Sendable {
  package var record: LockRecord
  /// How long the holder's lease lasts at most if nobody renews it; 0 where nobody holds it.
  package var nanosecondsLeft: Int64
}

package typealias StoreResult = Result<Outcome, StoreError>

/// A request on its way through the store. It gets its result on the thread of its ``ReplyTarget``.
package protocol StoreCall: AnyObject, Sendable {
  var replyTarget: any ReplyTarget { get }
  /// Whether anybody still waits for the result. A call of which the peer is gone, or was answered, by its
  /// turn is not done, nor tried again after a conflict: the peer may have asked another server meanwhile.
  /// Asked on a thread of the store.
  var isWanted: Bool { get }
  /// Who is to be alive when the call is granted something that it waited for; nil where that does not
  /// matter. Asked on a thread of the store.
  var peer: WaitingPeer? { get }
  /// Asks its peer for a sign of life, of which ``WaitingPeer/showsLife(at:)`` is then told. On a thread
  /// of the store; must not block. Where the call is over by then, ``Store/notAsked(_:)`` is told.
  func askForSignOfLife()
  func complete(_ result: StoreResult)
}

extension StoreCall {
  package var peer: WaitingPeer? { nil }
  package func askForSignOfLife() {}
}

/// Where the results of a batch go, in one piece: an event loop, say.
package protocol ReplyTarget: AnyObject, Sendable {
  /// Called on a thread of the store. The target calls `complete` of each on a thread of its own.
  func deliver(_ replies: [Reply])
}

/// A result and who waits for it.
package struct Reply: Sendable {
  private let call: any StoreCall
  private let result: StoreResult
  /// Where the result counts until it is taken; nil where it is small.
  private let backlog: ReplyBacklog?

  init(call: any StoreCall, result: StoreResult, backlog: ReplyBacklog? = nil) {
    self.call = call
    self.result = result
    self.backlog = result.byteCount > 0 ? backlog : nil
    self.backlog?.add(result.byteCount)
  }

  /// Gives the call its result. Called once, on the thread of the call's target.
  package func complete() {
    call.complete(result)
    backlog?.add(-result.byteCount)
  }
}

/// What results take that are on their way to those who wait. A reader that is faster than the event
/// loops waits for them, or the memory would fill with what it read.
final class ReplyBacklog: Sendable {
  private let bytes = Atomic<Int>(0)

  func add(_ count: Int) { bytes.add(count, ordering: .relaxed) }

  /// Returns when no more than `bytesMax` are on their way, or after a while: a loop that hangs shall
  /// not keep others from being served.
  func wait(bytesMax: Int) {
    var waits = 0
    while bytes.load(ordering: .relaxed) > bytesMax, waits < Self.waitsMax {
      BlockingThread.sleep(nanoseconds: Self.pauseNanoseconds)
      waits += 1
    }
  }

  private static let pauseNanoseconds: Int64 = 1_000_000
  private static let waitsMax = 5_000
}

extension StoreResult {
  /// The text of a record that was found, in bytes; other results are small.
  fileprivate var byteCount: Int {
    guard case .success(.found(let record?)) = self, let holder = record.holder else { return 0 }
    return record.key.utf8.count + holder.byteCount
  }
}

/// Replies of one batch, sorted by where they go.
struct ReplyBatch: ~Copyable {
  private var byTarget: [(target: any ReplyTarget, replies: [Reply])] = []
  /// The text of the records in it, in bytes.
  private(set) var byteCount = 0

  mutating func add(
    _ result: StoreResult, for call: any StoreCall, backlog: ReplyBacklog? = nil
  ) {
    let target = call.replyTarget
    let reply = Reply(call: call, result: result, backlog: backlog)
    byteCount += result.byteCount
    // There are as many targets as event loops: a handful.
    if let index = byTarget.firstIndex(where: { $0.target === target }) {
      byTarget[index].replies.append(reply)
    } else {
      byTarget.append((target, [reply]))
    }
  }

  mutating func deliver() {
    for (target, replies) in byTarget { target.deliver(replies) }
    byTarget = []
    byteCount = 0
  }
}
