import Access
import Exclusion
import Logging

/// Says which names in a policy nobody can prove to have, as the server looks at no such proof: a line that is about
/// them alone does nothing, and most likely an option is missing.
final class UnprovableNames: Sendable {
  private static let namedMax = 5

  private let access: AccessControl
  private let looksAtUnixSockets: Bool
  private let asksForCertificates: Bool
  private let logger: Logger
  /// Of which policy it was said.
  private let said = Mutex("")

  init(_ configuration: ServerConfiguration, of access: AccessControl) {
    self.access = access
    looksAtUnixSockets = configuration.listeners.contains(where: \.isUnix)
    asksForCertificates = configuration.tls.map { $0.side != .server(clients: .none) } ?? false
    logger = configuration.logger
  }

  /// Says so of a policy that it was not said of last.
  func say() {
    let rules = access.current
    guard let policy = rules.policy else { return }
    let isNews = said.withLock { said in
      defer { said = policy.digest }
      return said != policy.digest
    }
    guard isNews else { return }
    let patterns = policy.rules.map(\.who) + policy.limits.map(\.who)
    for (means, option, isThere) in [
      (IdentityPattern.Means.certificate, "--tls-client-ca", asksForCertificates),
      (.token, "--tokens", rules.tokens != nil), (.jwt, "--jwt-keys", rules.jwts != nil),
      (.unixSocket, "--listen unix:PATH", looksAtUnixSockets),
    ] where !isThere {
      let names = Set(patterns.filter { $0.means == means }.map(\.description)).sorted()
      guard !names.isEmpty else { continue }
      let more = names.count > Self.namedMax ? " and \(names.count - Self.namedMax) more" : ""
      logger.warning(
        "the policy names whom nobody can prove to be here without \(option)",
        metadata: ["names": "\(names.prefix(Self.namedMax).joined(separator: ", "))\(more)"])
    }
  }
}
