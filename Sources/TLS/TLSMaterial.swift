package import Files
import Glibc
package import NIOSSL
import Exclusion

/// What one side of TLS works with, made from files, and made anew where they change.
package final class TLSMaterial: Sendable {
  package enum Side: Hashable, Sendable {
    case client
    case server(clients: ClientCertificates)
  }

  /// What a server asks of its clients.
  package enum ClientCertificates: String, CaseIterable, Sendable {
    /// They are not asked for a certificate.
    case none
    /// Who shows one has it checked.
    case optional
    /// Who shows none is not let in.
    case required
  }

  /// As of the latest time that the files could be used.
  package struct Current: Sendable {
    package let context: NIOSSLContext
    /// Of this side's certificate; nil without one.
    package let certificate: Certificate?
    /// What the authorities are called whose certificates the other side may show; empty where it is those that the
    /// system trusts, or none.
    package let authorities: [String]
  }

  /// The certificate that this side shows.
  package struct Certificate: Equatable, Sendable {
    /// As others call it.
    package let name: String
    /// From when and until when it is valid, in seconds since 1970.
    package let notBefore: Int64
    package let notAfter: Int64

    func isValid(at now: Int64) -> Bool { notBefore <= now && now <= notAfter }

    /// Whole days until it is not valid any more, less than 0 where it is not.
    package func daysLeft(at now: Int64) -> Int64 {
      let seconds = notAfter - now
      return seconds >= 0 ? seconds / 86_400 : -1
    }
  }

  private struct State {
    var current: Current
    var contents: TLSContents
    var refusal: String?
  }

  package let files: TLSFiles
  package let side: Side
  private let state: Mutex<State>

  /// Reads the files, which may block.
  package init(_ files: TLSFiles, _ side: Side) throws(FileError) {
    self.files = files
    self.side = side
    let contents = try TLSContents(of: files)
    state = Mutex(State(current: try Self.make(contents, side), contents: contents))
  }

  package var current: Current { state.withLock { $0.current } }
  /// Why the files cannot be used as they were when they were last read; nil where they are in use.
  package var refusal: String? { state.withLock { $0.refusal } }

  /// Reads the files again, which may block.
  ///
  /// - Parameter now: In seconds since 1970. What is not valid then does not take the place of what is.
  /// - Returns: Whether there is something new.
  /// - Throws: Where the new contents cannot be used, with each call as long as that is so: what was used before
  ///   stays in use.
  package func refresh(at now: Int64 = Int64(time(nil))) throws(FileError) -> Bool {
    do throws(FileError) {
      let isNew = try readAgain(at: now)
      state.withLock { $0.refusal = nil }
      return isNew
    } catch {
      state.withLock { $0.refusal = error.description }
      throw error
    }
  }

  private func readAgain(at now: Int64) throws(FileError) -> Bool {
    let contents = try TLSContents(of: files)
    guard contents != state.withLock({ $0.contents }) else { return false }
    let new = try Self.make(contents, side)
    if let certificate = new.certificate, !certificate.isValid(at: now) {
      guard let old = current.certificate, !old.isValid(at: now) else {
        throw FileError(
          "the certificate in \(files.certificate ?? "") is valid from \(UTC.text(certificate.notBefore)) to "
            + UTC.text(certificate.notAfter))
      }
    }
    state.withLock { $0 = State(current: new, contents: contents) }
    return true
  }

  private static func make(_ contents: TLSContents, _ side: Side) throws(FileError) -> Current {
    let chain = try contents.chain()
    let key = try contents.privateKey()
    var configuration: TLSConfiguration
    switch side {
    case .client:
      configuration = .makeClientConfiguration()
      configuration.certificateChain = chain.map { .certificate($0) }
      configuration.privateKey = key.map { .privateKey($0) }
      configuration.applicationProtocols = ["h2"]
    case .server(let clients):
      guard let key else { throw FileError("a server needs a certificate and its key") }
      configuration = .makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
      configuration.certificateVerification =
        switch clients {
        case .none: .none
        case .optional: .optionalVerification
        case .required: .noHostnameVerification
        }
      // Who is asked for a certificate is told which would do.
      configuration.sendCANameList = clients != .none
      configuration.applicationProtocols = ["h2", "http/1.1"]
    }
    configuration.minimumTLSVersion = .tlsv12
    // How long who closes waits for the other side to do so as well.
    configuration.shutdownTimeout = .seconds(1)
    let roots = try contents.roots()
    if !roots.isEmpty { configuration.trustRoots = .certificates(roots) }
    do {
      let context = try NIOSSLContext(configuration: configuration)
      return Current(
        context: context, certificate: chain.first.map(Certificate.init),
        authorities: roots.map { PeerNames(of: $0).first ?? "without a name" })
    } catch NIOSSLError.failedToLoadPrivateKey {
      // It is one, as has been seen.
      throw FileError(
        "the key in \(contents.files.key ?? "") is not that of the certificate in "
          + "\(contents.files.certificate ?? "")")
    } catch {
      throw FileError("TLS cannot be set up: \(error)")
    }
  }
}

extension TLSMaterial.Certificate {
  init(_ certificate: NIOSSLCertificate) {
    self.init(
      name: PeerNames(of: certificate).first ?? "without a name",
      notBefore: Int64(certificate.notValidBefore), notAfter: Int64(certificate.notValidAfter))
  }
}
