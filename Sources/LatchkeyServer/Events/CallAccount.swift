import LockCore
import WireSchema
import Storage

/// What is told of one call to whoever takes account of events.
final class CallAccount {
  let origin: CallOrigin
  /// What it is about; empty where that is not known, or not one key.
  var key = ""
  /// Nil while that is not known.
  var asker: Asker?
  private let events: EventAccount

  init(_ events: EventAccount, of origin: CallOrigin) {
    self.events = events
    self.origin = origin
  }

  func refused(_ error: RPCError) { events.refused(error, key: key, to: asker, from: origin) }
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
