package import NIOSSL

/// The names in a certificate, by which its owner may be known.
package struct PeerNames: Equatable, Sendable {
  /// Such as `spiffe://example.org/scheduler` (RFC 5280, uniformResourceIdentifier).
  package private(set) var uris: [String] = []
  package private(set) var dnsNames: [String] = []
  package private(set) var commonName: String?

  /// What is no text in UTF-8 is no name.
  package init(of certificate: NIOSSLCertificate) {
    for name in certificate._subjectAlternativeNames() {
      guard let text = String(validating: name.contents, as: UTF8.self) else { continue }
      switch name.nameType {
      case .uri: uris.append(text)
      case .dnsName: dnsNames.append(text)
      default: break
      }
    }
    commonName = certificate.subjectName.last { $0.type == .commonName }?.value
  }

  /// The one that says most.
  package var first: String? { uris.first ?? dnsNames.first ?? commonName }
}
