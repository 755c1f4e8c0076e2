import Files
import Glibc
import HTTP
import NIOCore
import NIOSSL
import NIOTLS
import Exclusion
import TLS

/// What a client's connections speak TLS with. Its files are read when the first one is opened, and again for each
/// that follows.
final class ClientTLS: Sendable {
  private let configuration: LatchkeyClient.TLS
  private let log: ClientLog?
  private let material = Mutex<TLSMaterial?>(nil)
  /// Why the files could not be used the last time.
  private let refusal = Mutex<String?>(nil)

  init(_ configuration: LatchkeyClient.TLS, log: ClientLog? = nil) {
    self.configuration = configuration
    self.log = log
  }

  /// What one connection needs; nil where it speaks no TLS.
  func session(
    with endpoint: Endpoint, on loop: any EventLoop
  ) -> EventLoopFuture<TLSSession?> {
    guard endpoint.isSecure else { return loop.makeSucceededFuture(nil) }
    let promise = loop.makePromise(of: TLSSession?.self)
    // Files block.
    let code = DetachedThread.start { [self] in
      promise.completeWith(Result { try session(with: endpoint) })
    }
    if code != 0 {
      promise.fail(IOError(errnoCode: code, reason: "no thread to read certificates on"))
    }
    return promise.futureResult
  }

  private func session(with endpoint: Endpoint) throws(FileError) -> TLSSession {
    let material = try current()
    let name = configuration.serverName ?? endpoint.host
    return TLSSession(
      context: material.current.context, serverName: Self.isAddress(name) ? nil : name,
      authorities: configuration.authorities)
  }

  private func current() throws(FileError) -> TLSMaterial {
    guard let known = material.withLock({ $0 }) else {
      let files = TLSFiles(
        certificate: configuration.certificate, key: configuration.key,
        authorities: configuration.authorities)
      let made = try TLSMaterial(files, .client)
      material.withLock { $0 = made }
      return made
    }
    do throws(FileError) {
      _ = try known.refresh()
      refusal.withLock { $0 = nil }
    } catch {
      let isNews = refusal.withLock { refusal in
        defer { refusal = error.description }
        return refusal != error.description
      }
      if isNews {
        log?(
          .warning, "new files of TLS cannot be used; those before stay in use",
          ["reason": "\(error.description)"])
      }
    }
    return known
  }

  /// A name that stands for an address is not sent (RFC 6066, section 3): the server's certificate has to be for the
  /// address.
  private static func isAddress(_ name: String) -> Bool {
    (try? SocketAddress(ipAddress: String(name.prefix { $0 != "%" }), port: 0)) != nil
  }
}

/// TLS of one connection to be.
struct TLSSession: Sendable {
  let context: NIOSSLContext
  let serverName: String?
  let authorities: String?

  /// Puts TLS at the head of a channel's pipeline, on its event loop.
  ///
  /// - Parameters:
  ///   - established: Completed with the handshake.
  ///   - timeout: How long that may take.
  func secure(
    _ channel: any Channel, _ established: EventLoopPromise<Void>, timeout: TimeAmount
  ) throws {
    let handler = try NIOSSLClientHandler(context: context, serverHostname: serverName)
    try channel.pipeline.syncOperations.addHandlers([
      handler,
      TLSJudge(of: handler, established, serverName: serverName, authorities: authorities),
    ])
    let end = channel.eventLoop.scheduleTask(in: timeout) {
      established.fail(ChannelError.connectTimeout(timeout))
    }
    established.futureResult.whenComplete { _ in end.cancel() }
  }
}

/// Stands behind TLS: lets nothing begin with a server of another name, and says what its errors mean.
private final class TLSJudge: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let tls: NIOSSLClientHandler
  private let established: EventLoopPromise<Void>
  private let serverName: String?
  private let authorities: String?

  init(
    of tls: NIOSSLClientHandler, _ established: EventLoopPromise<Void>, serverName: String?,
    authorities: String?
  ) {
    self.tls = tls
    self.established = established
    self.serverName = serverName
    self.authorities = authorities
  }

  /// For the library a certificate for the address is as good as one for the name, and who answers for names is
  /// believed what the address is.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case TLSUserEvent.handshakeCompleted = event, let serverName,
      tls.peerCertificate.map({ !PeerNames(of: $0).areOfServer(serverName) }) ?? true
    {
      errorCaught(context: context, error: NIOSSLExtraError.failedToValidateHostname)
      return context.close(promise: nil)
    }
    if case TLSUserEvent.handshakeCompleted = event { established.succeed() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    // Whatever came before has said why.
    established.fail(ChannelError.eof)
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { established.fail(ChannelError.eof) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard
      let fault = TLSFault(
        error, certificate: tls.peerCertificate, authorities: authorities, name: serverName)
    else {
      established.fail(error)
      return context.fireErrorCaught(error)
    }
    established.fail(TLSEnd(fault: fault))
    // The channel says itself that it is closed.
    if case NIOSSLError.uncleanShutdown = error { return }
    context.fireErrorCaught(TLSEnd(fault: fault))
  }
}

private struct TLSEnd: Error, CustomStringConvertible {
  let fault: TLSFault
  var description: String { "TLS: \(fault)" }
}
