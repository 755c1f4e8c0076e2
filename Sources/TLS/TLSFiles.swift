import Files
import NIOSSL

/// The files that one side of TLS is set up from, all in PEM.
package struct TLSFiles: Hashable, Sendable {
  /// The certificate that this side shows, and those that lead from it to an authority.
  package var certificate: String?
  /// The key of ``certificate``, not encrypted.
  package var key: String?
  /// Whose certificates are trusted; nil for those that the system trusts.
  package var authorities: String?

  package init(certificate: String? = nil, key: String? = nil, authorities: String? = nil) {
    self.certificate = certificate
    self.key = key
    self.authorities = authorities
  }
}

/// What was read from ``TLSFiles``.
struct TLSContents: Equatable {
  let files: TLSFiles
  let certificate: [UInt8]?
  let key: [UInt8]?
  let authorities: [UInt8]?

  private static let bytesMax = 16 << 20

  init(of files: TLSFiles) throws(FileError) {
    self.files = files
    certificate = try Self.read(files.certificate)
    key = try Self.read(files.key)
    authorities = try Self.read(files.authorities)
  }

  private static func read(_ path: String?) throws(FileError) -> [UInt8]? {
    guard let path else { return nil }
    return try FileReading.bytes(of: path, max: bytesMax)
  }

  // MARK: - What is in them

  func chain() throws(FileError) -> [NIOSSLCertificate] {
    try Self.certificates(certificate, files.certificate)
  }

  func roots() throws(FileError) -> [NIOSSLCertificate] {
    try Self.certificates(authorities, files.authorities)
  }

  private static func certificates(
    _ bytes: [UInt8]?, _ path: String?
  ) throws(FileError) -> [NIOSSLCertificate] {
    guard let bytes, let path else { return [] }
    guard let found = try? NIOSSLCertificate.fromPEMBytes(bytes), !found.isEmpty else {
      throw FileError("\(path) has no certificate in PEM")
    }
    return found
  }

  func privateKey() throws(FileError) -> NIOSSLPrivateKey? {
    guard let key, let path = files.key else { return nil }
    // Without a callback the library would ask for the passphrase on the terminal.
    let found = try? NIOSSLPrivateKey(bytes: key, format: .pem) { setter in setter([UInt8]()) }
    guard let found else {
      throw FileError("\(path) has no private key in PEM, or an encrypted one")
    }
    return found
  }
}
