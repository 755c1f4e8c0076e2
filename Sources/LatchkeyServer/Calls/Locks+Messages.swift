import LockCore
import Storage
import SwiftProtobuf
import WireSchema

// The core's terms as messages of the newest wire version.

extension Google_Protobuf_Duration {
  init(_ lease: Lease) {
    let (seconds, nanos) = lease.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    self.init(seconds: seconds, nanos: Int32(nanos))
  }
}

extension NewestWire.Kind {
  init(_ kind: LockCore.Kind) { self = kind == .lock ? .lock : .presence }
}

extension NewestWire.Resource {
  /// Nil for a record that nobody holds.
  init?(_ record: LockRecord) {
    guard let holder = record.holder else { return nil }
    self.init()
    key = record.key
    kind = NewestWire.Kind(holder.kind)
    owner = holder.owner
    value = holder.content.text
    token = record.token
    revision = record.revision
    lease = Google_Protobuf_Duration(holder.lease)
    labels = holder.labels
    if let time = holder.grantedAt {
      grantedAt = Google_Protobuf_Timestamp(seconds: time.seconds, nanos: time.nanoseconds)
    }
  }
}

extension NewestWire.Grant {
  init(_ key: String, owner: String, lease: Lease, token: Int64, revision: Int64) {
    self.init()
    self.key = key
    self.owner = owner
    self.token = token
    self.revision = revision
    self.lease = Google_Protobuf_Duration(lease)
  }

  /// Nil for a record that nobody holds.
  init?(_ record: LockRecord) {
    guard let holder = record.holder else { return nil }
    self.init(
      record.key, owner: holder.owner, lease: holder.lease, token: record.token,
      revision: record.revision)
  }
}

extension NewestWire.RenewVerdict {
  init(_ result: StoreResult, key: String) {
    self.init()
    switch result {
    case .success(.renewed(let record)):
      if let grant = NewestWire.Grant(record) { self.grant = grant }
    case .success(.refused(let reason, let state)):
      refusal = NewestWire.Refusal(reason, key: key, state)
    case .success, .failure:
      // The other renewals stand; this row cannot be read.
      refusal.reason = "damaged"
      refusal.key = key
    }
  }
}

extension NewestWire.Refusal {
  init(_ reason: Outcome.Reason, key: String, _ state: HeldState?) {
    self.init()
    self.key = key
    switch reason {
    case .heldByAnother:
      self.reason = "held-by-another"
      retry = .whenFree
    case .notTheHolder:
      self.reason = "not-the-holder"
      retry = .withAcquire
    case .ofAnotherIdentity, .denied:
      self.reason = Asker.word
    case .needsNewerServer:
      self.reason = "needs-newer-server"
      retry = .atNewerServer
    case .tooManyLabels:
      self.reason = "too-many-labels"
    case .tooManyWaiters:
      self.reason = "too-many-waiters"
      retry = .later
    case .tooManyHeld, .tooManyWaiting:
      self.reason = Asker.limitWord
      retry = .later
    case .superseded:
      self.reason = "superseded"
    }
    guard let state else { return }
    token = state.record.token
    revision = state.record.revision
    guard let holder = state.record.holder else { return }
    owner = holder.owner
    kind = NewestWire.Kind(holder.kind)
    // Up to the next millisecond: at most so long.
    let milliseconds = (state.nanosecondsLeft + 999_999) / 1_000_000
    leaseLeft = Google_Protobuf_Duration(
      seconds: milliseconds / 1_000, nanos: Int32(milliseconds % 1_000) * 1_000_000)
  }
}

extension WireError {
  /// What an outcome other than the one hoped for means.
  init(refusal outcome: Outcome, key: String) {
    guard case .refused(let reason, let state) = outcome else {
      self.init(.internal, "the store gave an answer that does not belong to the call")
      return
    }
    let refusal = NewestWire.Refusal(reason, key: key, state)
    switch reason {
    case .heldByAnother:
      self.init(
        .alreadyExists, refusal.reason,
        refusal.owner.isEmpty
          ? "who waited for it is about to have it" : "\"\(refusal.owner)\" holds it",
        details: [refusal])
    case .notTheHolder:
      self.init(
        .failedPrecondition, refusal.reason,
        refusal.owner.isEmpty
          ? "the grant is over, and nobody holds it" : "\"\(refusal.owner)\" holds it",
        details: [refusal])
    case .denied:
      self.init(
        .permissionDenied, refusal.reason, "the right hold on \"\(key)\" is missing",
        details: [refusal])
    case .ofAnotherIdentity:
      self.init(
        .permissionDenied, refusal.reason,
        "another identity has taken it, and only who has the right break on \"\(key)\" may keep it or give it back",
        details: [refusal])
    case .tooManyWaiters:
      self.init(
        .resourceExhausted, refusal.reason, "as many wait as there is room for",
        details: [refusal])
    case .tooManyHeld(let max):
      self.init(
        .resourceExhausted, refusal.reason,
        "who asks holds as many keys as its limit allows, \(max)",
        details: [refusal])
    case .tooManyWaiting(let max):
      self.init(
        .resourceExhausted, refusal.reason,
        "as many requests of who asks wait as its limit allows, \(max)", details: [refusal])
    case .tooManyLabels:
      self.init(
        .failedPrecondition, refusal.reason,
        "with the labels that it has they are more than \(NameLimits.labelsMax)",
        details: [refusal])
    case .superseded:
      self.init(
        .aborted, refusal.reason, "the same request came again and waits in this one's place",
        details: [refusal])
    case .needsNewerServer(let shape):
      self.init(
        .failedPrecondition, refusal.reason,
        "the resource uses a feature of store shape s\(shape), "
          + "which this server (\(Release.version)) does not know; ask a newer server of this store",
        details: [refusal])
    }
  }
}
