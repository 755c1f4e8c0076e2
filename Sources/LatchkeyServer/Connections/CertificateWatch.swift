import Files
import Logging
import Exclusion
import TLS

/// Has the server's certificate read again where its files change, and says when it ends.
final class CertificateWatch: Sendable {
  /// From how many days on it is said, once a day, that it ends soon.
  static let daysOfWarning: Int64 = 7

  private let material: TLSMaterial
  private let reload: Reload
  private let metrics: ServerMetrics
  private let logger: Logger
  /// Of which certificate it was said that it ends, and how many days were left.
  private let warned = Mutex<(TLSMaterial.Certificate, daysLeft: Int64)?>(nil)

  init(_ material: TLSMaterial, metrics: ServerMetrics, logger: Logger, events: EventAccount) {
    self.material = material
    self.metrics = metrics
    self.logger = logger
    reload = Reload("certificate", logger: logger, events: events) {
      let current = material.current
      guard let certificate = current.certificate else { return [:] }
      var facts: Logger.Metadata = [
        "certificate": "\(certificate.name)", "until": "\(UTC.text(certificate.notAfter))",
      ]
      // Who may connect may be all that is new.
      if !current.authorities.isEmpty {
        facts["client_authorities"] = "\(current.authorities.joined(separator: ", "))"
      }
      return facts
    } refresh: { () throws(FileError) in
      try material.refresh()
    }
  }

  /// Looks, on a thread that may block.
  ///
  /// - Parameter now: In seconds since 1970.
  func look(isAsked: Bool, at now: Int64) {
    reload.look(isAsked: isAsked)
    guard let certificate = material.current.certificate else { return }
    let left = certificate.daysLeft(at: now)
    metrics.certificate(daysLeft: left)
    if left <= Self.daysOfWarning { warn(certificate, left) }
  }

  private func warn(_ certificate: TLSMaterial.Certificate, _ left: Int64) {
    let isNews = warned.withLock { warned in
      defer { warned = (certificate, left) }
      return warned.map { $0 != (certificate, left) } ?? true
    }
    guard isNews else { return }
    logger.warning(
      left < 0 ? "the certificate has expired" : "the certificate expires soon",
      metadata: [
        "certificate": "\(certificate.name)", "until": "\(UTC.text(certificate.notAfter))",
      ])
  }
}
