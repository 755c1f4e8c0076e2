package import NIOSSL

/// The names in a certificate, by which its owner may be known.
package struct PeerNames: Equatable, Sendable {
  /// Such as `spiffe://example.org/scheduler` (RFC 5280, uniformResourceIdentifier).
  package private(set) var uris: [String] = []
  package private(set) var dnsNames: [String] = []
  package private(set) var commonName: String?

  /// What is no text in UTF-8 names nobody.
  package init(of certificate: NIOSSLCertificate) {
    for name in certificate._subjectAlternativeNames() {
      let text = String(validating: name.contents, as: UTF8.self) ?? ""
      switch name.nameType {
      case .uri: uris.append(text)
      case .dnsName: dnsNames.append(text)
      default: break
      }
    }
    commonName = certificate.subjectName.last { $0.type == .commonName }?.value
  }

  /// Whether they are those of a server that is called `name` (RFC 9525): by one that is the same, or by one that
  /// begins with "*." and has the same rest. A common name counts for nothing.
  package func areOfServer(_ name: String) -> Bool {
    let name = name.lowercased()
    return dnsNames.contains { own in
      let own = own.lowercased()
      if own == name { return true }
      guard own.hasPrefix("*."), let dot = name.firstIndex(of: "."), dot > name.startIndex else {
        return false
      }
      let rest = own.dropFirst()
      return rest.dropFirst().contains(".") && name[dot...] == rest
    }
  }

  /// The one that says most.
  package var first: String? { uris.first ?? dnsNames.first ?? commonName }
}
