import LockCore
import TestKit

@testable import Storage

/// What a naive reading of the rules says of a few keys: one command after the other, no batches, no
/// clever table, every lease looked at each time.
struct FaultModel {
  struct Key: Equatable, CustomStringConvertible {
    var owner: String?
    var token: Int64 = 0
    var revision: Int64 = 0
    var leaseSeconds: Int64 = 0

    init() {}

    var description: String {
      "\(owner ?? "-") token \(token) revision \(revision) lease \(leaseSeconds)"
    }

    init(_ row: S1Row) {
      owner = row.owner
      token = row.token
      revision = row.revision
      leaseSeconds = row.leaseSeconds
    }
  }

  var keys: [String: Key] = [:]
  var floor: Int64 = 0

  /// Does `command` and returns its result.
  mutating func apply(_ command: Command) -> StoreResult {
    switch command {
    case .claim(let key, let holder):
      var next = keys[key] ?? Key()
      if let owner = next.owner, owner != holder.owner { return .heldByAnother }
      let isNew = next.owner == nil
      if isNew { next.token = max(next.token, floor) + 1 }
      next.owner = holder.owner
      next.revision += 1
      next.leaseSeconds = holder.lease.seconds
      keys[key] = next
      return .success(
        .claimed(token: next.token, revision: next.revision, isNewGrant: isNew))
    case .claimWaiting, .renewOwn, .withdraw, .renew, .renewMany:
      preconditionFailure("the model has claims and releases only")
    case .release(let key, let name):
      guard let held = keys[key], let holder = held.owner else { return .released }
      guard holder == name.owner else { return .notTheHolder }
      keys[key]!.owner = nil
      keys[key]!.revision += 1
      return .released
    }
  }
}
