import Glibc
package import NIOSSL

/// Why two sides do not speak TLS with each other, in words for a person.
package struct TLSFault: Error, Equatable, CustomStringConvertible {
  package enum Reason: String, CaseIterable, Sendable {
    case expired
    case notYetValid = "not-yet-valid"
    case unknownIssuer = "unknown-issuer"
    case wrongName = "wrong-name"
    case noCertificate = "no-certificate"
    case badCertificate = "bad-certificate"
    case clearText = "clear-text"
    case version
    case protocols
    case closed
    case other
  }

  package let reason: Reason
  package let description: String

  private init(_ reason: Reason, _ description: String) {
    self.reason = reason
    self.description = description
  }

  /// - Parameters:
  ///   - error: Of a channel with TLS.
  ///   - certificate: What the other side has shown so far.
  ///   - authorities: Where it stands whom this side trusts.
  ///   - name: That the other side should have; nil where any is good.
  ///   - now: In seconds since 1970.
  /// - Returns: Nil where the error is not one of TLS.
  package init?(
    _ error: any Error, certificate: NIOSSLCertificate?, authorities: String?,
    name: String? = nil, at now: Int64 = Int64(time(nil))
  ) {
    switch error {
    case NIOSSLError.handshakeFailed(let error), NIOSSLError.shutdownFailed(let error):
      self.init(error, certificate, authorities, now)
    case let error as BoringSSLError: self.init(error, certificate, authorities, now)
    case let error as NIOSSLExtraError where error == .failedToValidateHostname:
      self.init(.wrongName, Self.wrongName(certificate, name ?? "the address"))
    case NIOSSLError.uncleanShutdown: self.init(.closed, "it closed the connection")
    case let error as NIOSSLError: self.init(.other, "\(error)")
    default: return nil
    }
  }

  private static func wrongName(_ certificate: NIOSSLCertificate?, _ name: String) -> String {
    let names = certificate.map { PeerNames(of: $0) }
    if let names, names.dnsNames.isEmpty, let common = names.commonName {
      return
        "its certificate has no DNS name in subjectAltName and so is not for \(name): the common name \(common) does not count"
    }
    return
      "its certificate is for \((names?.dnsNames ?? []).joined(separator: ", ").orNobody), not for \(name)"
  }

  private init(
    _ error: BoringSSLError, _ certificate: NIOSSLCertificate?, _ authorities: String?, _ now: Int64
  ) {
    // All that the library says of an error is a text such as
    // "error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED".
    let text = "\(error)"
    if text.contains("CERTIFICATE_VERIFY_FAILED") {
      self = Self.unverified(certificate, authorities, now)
    } else if let known = Self.known.first(where: { text.contains($0.text) }) {
      self.init(known.reason, known.description)
    } else {
      self.init(.other, Self.names(in: text))
    }
  }

  /// The names of errors in what the library says, without where in its source they came from.
  private static func names(in text: String) -> String {
    let mark = "OPENSSL_internal:"
    let names = text.split(separator: mark).dropFirst().map { part in
      part.prefix { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) }
    }
    return names.isEmpty ? text : names.joined(separator: ", ")
  }

  /// The certificate of the other side was looked at and not found good; why is not said, but what is wrong with it
  /// can be seen.
  private static func unverified(
    _ certificate: NIOSSLCertificate?, _ authorities: String?, _ now: Int64
  ) -> TLSFault {
    guard let certificate else {
      return TLSFault(.badCertificate, "its certificate could not be verified")
    }
    if Int64(certificate.notValidAfter) < now {
      return TLSFault(
        .expired, "its certificate was valid until \(UTC.text(Int64(certificate.notValidAfter)))")
    }
    if Int64(certificate.notValidBefore) > now {
      return TLSFault(
        .notYetValid,
        "its certificate is valid from \(UTC.text(Int64(certificate.notValidBefore))) on")
    }
    let issuer = certificate.issuerName.map(\.value).joined(separator: ", ")
    let trusted = authorities.map { "those in \($0)" } ?? "those that the system trusts"
    return TLSFault(
      .unknownIssuer,
      "its certificate was issued by \"\(issuer)\", which is not among \(trusted) nor leads to one, "
        + "or it is for another purpose")
  }

  /// What the libraries of both sides say. What comes as an alert is what the other side thinks of this one.
  private static let known: [(text: String, reason: Reason, description: String)] = [
    ("ALERT_CERTIFICATE_EXPIRED", .expired, "it finds this side's certificate expired"),
    ("ALERT_UNKNOWN_CA", .unknownIssuer, "it does not trust the issuer of this side's certificate"),
    (
      "ALERT_CERTIFICATE_REQUIRED", .noCertificate,
      "it wants a certificate of this side, which showed none"
    ),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", .noCertificate, "it showed no certificate"),
    ("ALERT_BAD_CERTIFICATE", .badCertificate, "it does not accept this side's certificate"),
    ("ALERT_CERTIFICATE_UNKNOWN", .badCertificate, "it does not accept this side's certificate"),
    (
      "ALERT_UNSUPPORTED_CERTIFICATE", .badCertificate, "it does not accept this side's certificate"
    ),
    (
      "ALERT_CERTIFICATE_REVOKED", .badCertificate,
      "it says that this side's certificate is revoked"
    ),
    ("ALERT_ACCESS_DENIED", .badCertificate, "it denies this side access"),
    ("HTTP_REQUEST", .clearText, "it speaks HTTP without TLS"),
    ("WRONG_VERSION_NUMBER", .clearText, "it does not speak TLS"),
    ("ALERT_PROTOCOL_VERSION", .version, "it speaks no version of TLS that this side does"),
    ("UNSUPPORTED_PROTOCOL", .version, "it speaks no version of TLS from 1.2 on"),
    ("NO_APPLICATION_PROTOCOL", .protocols, "it does not speak HTTP/2"),
    ("NO_SHARED_CIPHER", .version, "there is no cipher that both sides know"),
    (
      "ALERT_HANDSHAKE_FAILURE", .version,
      "it finds nothing in TLS that both sides can do, or wants a certificate"
    ),
    // TLS 1.3: it answered in clear text where everything is encrypted by then.
    (
      "BAD_PACKET_LENGTH", .badCertificate,
      "it broke off in a way that cannot be read, most likely as it does not trust the issuer of this side's certificate"
    ),
    ("EOF during handshake", .closed, "it closed the connection during the handshake"),
  ]
}

extension String {
  fileprivate var orNobody: String { isEmpty ? "nobody" : self }
}
