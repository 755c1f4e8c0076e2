import Access
import Glibc
import NIOSSL
import TLS
import WireSchema

/// What a connection has shown of who is at its other end.
enum Proof {
  case nothing
  /// Until then, in seconds since 1970; nil for as long as the connection lasts.
  case identity(Identity, until: Int64?)
  /// Something that names nobody, and why.
  case nameless(String)

  /// Nil for nobody.
  ///
  /// - Throws: `unauthenticated` where something was shown that proves nothing, or nothing any more.
  func identity(at now: () -> Int64) throws(RPCError) -> Identity? {
    switch self {
    case .nothing: return nil
    case .nameless(let why): throw RPCError(.unauthenticated, why)
    case .identity(let identity, let until):
      // A resumed session is not verified again, and a connection may be older than its certificate.
      if let until, until < now() {
        throw RPCError(.unauthenticated, "the certificate is not valid any more")
      }
      return identity
    }
  }

  /// By a certificate that an authority of the server has issued: the first URI in it, else the first DNS name, else
  /// the common name.
  init(_ certificate: NIOSSLCertificate) {
    let names = PeerNames(of: certificate)
    // What is empty, or was no text, names nobody, whatever else there is.
    let name: String? =
      if let uri = names.uris.first {
        uri.isEmpty ? nil : Self.name(ofURI: uri)
      } else if let dns = names.dnsNames.first {
        dns.isEmpty ? nil : "dns:\(dns)"
      } else {
        names.commonName.flatMap { $0.isEmpty ? nil : "cn:\($0)" }
      }
    guard let identity = name.flatMap({ Identity($0) }) else {
      self = .nameless(
        "the certificate has no name of 1 to \(Identity.bytesMax) visible bytes without a blank")
      return
    }
    self = .identity(identity, until: Int64(certificate.notValidAfter))
  }

  /// No certificate names what is proved in another way.
  private static func name(ofURI uri: String) -> String {
    let scheme = uri.prefix { $0 != ":" }.lowercased()
    let taken = ["uri", "dns", "cn", "token", "jwt", "user", "uid"]
    return taken.contains(scheme) || !uri.contains("://") ? "uri:\(uri)" : uri
  }

  /// By the user who is at the other end of a socket of this machine. May block.
  init(userID: uid_t) {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var room = [CChar](repeating: 0, count: 16_384)
    var name: String?
    if getpwuid_r(userID, &entry, &room, room.count, &found) == 0, found != nil {
      name = String(validatingCString: entry.pw_name)
    }
    self = .identity(
      name.flatMap { Identity("user:\($0)") } ?? Identity("uid:\(userID)")!, until: nil)
  }
}
