package import LockContent

/// The verdict on a request to hold a key.
package enum ClaimVerdict: Equatable, Sendable {
  /// Nobody held the key: a new grant with a token of its own.
  case granted(LockRecord)
  /// The owner held the key already: the same grant, with a new lease.
  case renewed(LockRecord)
  case refused(Refusal)
}

/// The verdict on a request for a new lease.
package enum RenewVerdict: Equatable, Sendable {
  case renewed(LockRecord)
  case refused(Refusal)
}

/// Which grant a request means: each fact that is given must be the grant's. At least one is.
package struct GrantName: Equatable, Sendable {
  package var token: Int64?
  package var owner: String?
  /// Who means it.
  package var caller: Caller

  package init(token: Int64? = nil, owner: String? = nil, caller: Caller = .anybody) {
    self.token = token
    self.owner = owner
    self.caller = caller
  }

  /// Whether it is the grant that `record` stands for.
  package func means(_ record: LockRecord) -> Bool {
    record.holder.map { isTokenOf(record) && isOwnerName($0) } ?? false
  }

  func isTokenOf(_ record: LockRecord) -> Bool { token == nil || token == record.token }

  func isOwnerName(_ holder: Holder) -> Bool { owner?.isSameName(as: holder.owner) ?? true }
}

/// The verdict on a request to free a key.
package enum ReleaseVerdict: Equatable, Sendable {
  case released(LockRecord)
  /// Nobody held the key, so nothing changes.
  case alreadyFree
  case refused(Refusal)
}

/// Why a decision went against a request.
package enum Refusal: Equatable, Sendable {
  /// Another owner holds the key.
  case heldByAnother
  /// The grant in question is over, or is another one.
  case notTheHolder
  /// Another identity has taken the grant in question, and the caller may not break it.
  case ofAnotherIdentity
  /// It would have more labels than ``NameLimits/labelsMax``.
  case tooManyLabels
  /// The key's tokens or revisions have reached the largest number there is. No key gets there by
  /// being granted; a damaged row can.
  case numbersExhausted
}

/// The rules of locks: pure functions from the state of a key and a request to a verdict.
package enum Decisions {
  /// Decides on a claim of `key`.
  ///
  /// - Parameters:
  ///   - record: The key's state, nil where the store has none.
  ///   - tokenFloor: The store's floor: every new token is greater than it (see ``LockRecord/token``).
  ///   - setbackFloor: What is held under a token up to this was granted before the store has lost what was
  ///     acknowledged. Its owner may know of a later grant: who does not name the token has a new one.
  package static func claim(
    key: String, _ claim: Claim, on record: LockRecord?, tokenFloor: Int64,
    setbackFloor: Int64 = 0
  ) -> ClaimVerdict {
    if let current = record?.holder, !claim.isOfOwner(current) {
      return .refused(.heldByAnother)
    }
    let renewed = record.flatMap { $0.token > setbackFloor ? $0.holder : nil }
    let isRenewal = renewed != nil
    let holder = claim.holder(renewing: renewed)
    guard mayHave(holder.labels, after: renewed) else { return .refused(.tooManyLabels) }
    let latestToken = max(record?.token ?? tokenFloor, tokenFloor)
    let (nextToken, tokenOverflow) = latestToken.addingReportingOverflow(1)
    let (revision, revisionOverflow) = (record?.revision ?? 0).addingReportingOverflow(1)
    if revisionOverflow || (tokenOverflow && !isRenewal) { return .refused(.numbersExhausted) }
    let token = isRenewal ? record!.token : nextToken
    let next = LockRecord(key: key, holder: holder, token: token, revision: revision)
    return isRenewal ? .renewed(next) : .granted(next)
  }

  /// Decides on a new lease for the grant with `token`.
  ///
  /// - Parameters:
  ///   - lease: Nil leaves its length as it was.
  ///   - content: Nil leaves it as it was.
  ///   - labels: As in ``Claim/labels``.
  ///   - grantedAt: Nil leaves it as it was.
  package static func renew(
    token: Int64, lease: Lease?, content: Content? = nil, labels: [String: String] = [:],
    grantedAt: StatedTime? = nil, caller: Caller = .anybody, on record: LockRecord?
  ) -> RenewVerdict {
    guard let record, var holder = record.holder, record.token == token else {
      return .refused(.notTheHolder)
    }
    guard caller.mayHave(holder) else { return .refused(.ofAnotherIdentity) }
    let (revision, overflow) = record.revision.addingReportingOverflow(1)
    guard !overflow else { return .refused(.numbersExhausted) }
    holder.lease = lease ?? holder.lease
    holder.content = holder.content.changed(to: content)
    holder.grantedAt = grantedAt ?? holder.grantedAt
    holder.labels.change(labels)
    guard mayHave(holder.labels, after: record.holder) else { return .refused(.tooManyLabels) }
    return .renewed(
      LockRecord(key: record.key, holder: holder, token: token, revision: revision))
  }

  /// Decides on the release of the grant that `name` means. What nobody holds is free already, unless
  /// the token says that the request comes late: after a later grant.
  package static func release(_ name: GrantName, on record: LockRecord?) -> ReleaseVerdict {
    guard let record else { return .alreadyFree }
    guard name.isTokenOf(record) else { return .refused(.notTheHolder) }
    guard let holder = record.holder else { return .alreadyFree }
    guard name.isOwnerName(holder) else { return .refused(.notTheHolder) }
    guard name.caller.mayHave(holder) else { return .refused(.ofAnotherIdentity) }
    guard let freed = freed(record) else { return .refused(.numbersExhausted) }
    return .released(freed)
  }

  /// Decides whether the lease seen as `sighting` has ended: only when nobody wrote the record
  /// since. Nil means that the record stays as it is.
  package static func expire(seenAs sighting: Sighting, on record: LockRecord?) -> LockRecord? {
    guard let record, record.holder != nil, record.sighting == sighting else { return nil }
    return freed(record)
  }

  /// Who has more labels already, as a newer server may let it, keeps them.
  private static func mayHave(_ labels: [String: String], after current: Holder?) -> Bool {
    labels.count <= max(NameLimits.labelsMax, current?.labels.count ?? 0)
  }

  private static func freed(_ record: LockRecord) -> LockRecord? {
    let (revision, overflow) = record.revision.addingReportingOverflow(1)
    guard !overflow else { return nil }
    return LockRecord(key: record.key, holder: nil, token: record.token, revision: revision)
  }
}
