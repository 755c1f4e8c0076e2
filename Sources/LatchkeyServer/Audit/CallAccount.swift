import LockCore
import WireSchema
import Storage

/// What the audit log is told of one call.
final class CallAccount {
  let origin: CallOrigin
  /// What it is about; empty where that is not known, or not one key.
  var key = ""
  private let log: AuditLog
  /// Nil while that is not known.
  private let asker: Asker?

  init(_ log: AuditLog, of origin: CallOrigin, by asker: Asker? = nil) {
    self.log = log
    self.origin = origin
    self.asker = asker
  }

  func of(_ asker: Asker) -> CallAccount { CallAccount(log, of: origin, by: asker) }

  func refused(_ error: RPCError) { log.refused(error, key: key, to: asker, from: origin) }
}

extension CallAccount {
  /// Those of several renewals that were not allowed, in one line.
  func denied(_ outcome: Outcome, of command: Command) {
    guard case .many(let results) = outcome, case .renewMany(let renewals) = command else { return }
    let denied = zip(renewals, results).filter { _, result in
      switch result {
      case .success(.refused(.denied, _)), .success(.refused(.ofAnotherIdentity, _)): true
      default: false
      }
    }
    guard !denied.isEmpty else { return }
    let named = denied.prefix(Self.keysNamedMax).map { "\"\($0.0.key)\"" }
    let more = denied.count > named.count ? " and \(denied.count - named.count) more" : ""
    refused(
      RPCError(
        .permissionDenied,
        "\(Asker.word): \(denied.count) of \(results.count) renewals, of "
          + named.joined(separator: ", ") + more))
  }

  /// A line has room for two of the longest.
  private static let keysNamedMax = 5
}
