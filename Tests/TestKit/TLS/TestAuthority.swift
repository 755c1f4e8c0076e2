import Crypto
import Foundation
import SwiftASN1
import X509

/// Issues certificates, and writes them into files of a folder of its own.
///
/// ```swift
/// let authority = try TestAuthority(folder: folder)
/// let server = try authority.issue("server")
/// // server.certificate and server.key are paths
/// ```
package struct TestAuthority {
  /// Where its own certificate is.
  package let path: String
  private let folder: StoreFolder
  private let name: DistinguishedName
  private let key = P256.Signing.PrivateKey()

  /// What a certificate says, and when.
  package struct Terms {
    package var commonName = "server"
    package var dnsNames = ["localhost"]
    package var addresses: [[UInt8]] = [[127, 0, 0, 1]]
    package var uris: [String] = []
    /// In seconds from now.
    package var validity: ClosedRange<Double> = -60...86_400

    package init() {}
  }

  /// A certificate and its key, as paths.
  package struct Issued {
    package let certificate: String
    package let key: String
  }

  package init(_ name: String = "authority", in folder: StoreFolder) throws {
    self.folder = folder
    path = folder.path("\(name).pem")
    self.name = try DistinguishedName { CommonName(name) }
    let now = Date()
    let certificate = try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(),
      publicKey: .init(key.publicKey), notValidBefore: now - 3_600,
      notValidAfter: now + 86_400 * 365, issuer: self.name, subject: self.name,
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
        Critical(KeyUsage(keyCertSign: true))
      }, issuerPrivateKey: .init(key))
    try folder.write(try certificate.serializeAsPEM().pemString, to: "\(name).pem")
  }

  /// A file with both of `issued`, as proxies want it.
  package func together(_ issued: Issued) throws -> String {
    let both = try [issued.certificate, issued.key].map {
      try String(contentsOfFile: $0, encoding: .utf8)
    }
    try folder.write(both.joined(separator: "\n"), to: "together.pem")
    return folder.path("together.pem")
  }

  /// Issues a certificate in the files `FILE.pem` and `FILE.key`, in the place of what is there.
  package func issue(
    _ file: String, _ change: (inout Terms) -> Void = { _ in }
  ) throws -> Issued {
    var terms = Terms()
    change(&terms)
    let now = Date()
    let own = P256.Signing.PrivateKey()
    let names =
      terms.dnsNames.map { GeneralName.dnsName($0) }
      + terms.addresses.map { GeneralName.ipAddress(ASN1OctetString(contentBytes: $0[...])) }
      + terms.uris.map { GeneralName.uniformResourceIdentifier($0) }
    let certificate = try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(own.publicKey),
      notValidBefore: now + terms.validity.lowerBound,
      notValidAfter: now + terms.validity.upperBound,
      issuer: name, subject: try DistinguishedName { CommonName(terms.commonName) },
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        if !names.isEmpty { SubjectAlternativeNames(names) }
      }, issuerPrivateKey: .init(key))
    let issued = Issued(
      certificate: folder.path("\(file).pem"), key: folder.path("\(file).key"))
    try folder.write(try certificate.serializeAsPEM().pemString, to: "\(file).pem")
    try folder.write(own.pemRepresentation, to: "\(file).key")
    return issued
  }
}
