/// The verdict on a request to hold a key.
package enum ClaimVerdict: Equatable, Sendable {
  /// Nobody held the key: a new grant with a token of its own.
  case granted(LockRecord)
  /// The owner held the key already: the same grant, with a new lease.
  case renewed(LockRecord)
  case refused(Refusal)
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
  /// The key's tokens or revisions have reached the largest number there is. No key gets there by
  /// being granted; a damaged row can.
  case numbersExhausted
}

/// The rules of locks: pure functions from the state of a key and a request to a verdict.
package enum Decisions {
  /// Decides on a claim of `key` for `holder`.
  ///
  /// - Parameters:
  ///   - record: The key's state, nil where the store has none.
  ///   - tokenFloor: The store's floor: every new token is greater than it (see ``LockRecord/token``).
  package static func claim(
    key: String, for holder: Holder, on record: LockRecord?, tokenFloor: Int64
  ) -> ClaimVerdict {
    if let current = record?.holder, !current.owner.isSameName(as: holder.owner) {
      return .refused(.heldByAnother)
    }
    let isRenewal = record?.holder != nil
    let latestToken = max(record?.token ?? tokenFloor, tokenFloor)
    let (nextToken, tokenOverflow) = latestToken.addingReportingOverflow(1)
    let (revision, revisionOverflow) = (record?.revision ?? 0).addingReportingOverflow(1)
    if revisionOverflow || (tokenOverflow && !isRenewal) { return .refused(.numbersExhausted) }
    let token = isRenewal ? record!.token : nextToken
    let next = LockRecord(key: key, holder: holder, token: token, revision: revision)
    return isRenewal ? .renewed(next) : .granted(next)
  }

  /// Decides on a release of the key of `record` by `owner`.
  package static func release(by owner: String, on record: LockRecord?) -> ReleaseVerdict {
    guard let record, let holder = record.holder else { return .alreadyFree }
    guard holder.owner.isSameName(as: owner) else { return .refused(.heldByAnother) }
    guard let freed = freed(record) else { return .refused(.numbersExhausted) }
    return .released(freed)
  }

  /// Decides whether the lease seen as `sighting` has ended: only when nobody wrote the record
  /// since. Nil means that the record stays as it is.
  package static func expire(seenAs sighting: Sighting, on record: LockRecord?) -> LockRecord? {
    guard let record, record.holder != nil, record.sighting == sighting else { return nil }
    return freed(record)
  }

  private static func freed(_ record: LockRecord) -> LockRecord? {
    let (revision, overflow) = record.revision.addingReportingOverflow(1)
    guard !overflow else { return nil }
    return LockRecord(key: record.key, holder: nil, token: record.token, revision: revision)
  }
}
