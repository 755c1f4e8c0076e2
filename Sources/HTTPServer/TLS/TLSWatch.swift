import HTTP
import NIOCore
import NIOSSL
import NIOTLS
import TLS

/// Stands behind TLS: bounds how long the handshake takes, tells when it is done and why it is not, and keeps from
/// those behind what is no matter of theirs.
final class TLSWatch: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// How long a handshake may take.
  static let timeout = TimeAmount.seconds(10)

  private let handshakes: Handshakes
  private let tls: NIOSSLServerHandler
  private let authorities: String?
  private let done: (NIOSSLCertificate?) throws -> Void
  private let failed: (any Error) -> Void
  private var number: UInt64?
  private var timer: Scheduled<Void>?
  private var isDone = false
  private var context: ChannelHandlerContext?

  /// - Parameters:
  ///   - tls: Stands in front of this.
  ///   - authorities: Where it stands whose certificates are trusted.
  ///   - done: Told of the peer's certificate, if it has shown one.
  ///   - failed: Told why there is no connection.
  init(
    _ handshakes: Handshakes, of tls: NIOSSLServerHandler, authorities: String?,
    done: @escaping (NIOSSLCertificate?) throws -> Void, failed: @escaping (any Error) -> Void
  ) {
    self.handshakes = handshakes
    self.tls = tls
    self.authorities = authorities
    self.done = done
    self.failed = failed
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    number = handshakes.begins {
      let (watch, context) = bound.value
      watch.fails(TLSWatchError.tooMany, context)
    }
    self.context = context
    fails(in: Self.timeout, context)
  }

  private func fails(in time: TimeAmount, _ context: ChannelHandlerContext) {
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    timer?.cancel()
    timer = context.eventLoop.scheduleTask(in: time) {
      let (watch, context) = bound.value
      watch.fails(TLSWatchError.timeout, context)
    }
  }

  /// Nobody waits long for a handshake: a request may be on its way behind it.
  func beginDrain() {
    guard !isDone, let context else { return }
    fails(in: ProtocolDetector.drainTimeout, context)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    endHandshake()
  }

  private func endHandshake() {
    if let number { handshakes.isOver(number) }
    number = nil
    timer?.cancel()
    timer = nil
  }

  private func fails(_ error: any Error, _ context: ChannelHandlerContext) {
    guard !isDone else { return }
    isDone = true
    endHandshake()
    failed(error)
    context.closeSoon()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent else {
      return context.fireUserInboundEventTriggered(event)
    }
    guard !isDone else { return }
    do {
      try done(tls.peerCertificate)
    } catch {
      return fails(error, context)
    }
    isDone = true
    endHandshake()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let fault = TLSFault(error, certificate: tls.peerCertificate, authorities: authorities)
    guard isDone else { return fails(fault ?? error, context) }
    // Who goes without a word is gone, as without TLS.
    if fault?.reason == .closed { return }
    context.fireErrorCaught(fault ?? error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    endHandshake()
    context.fireChannelInactive()
  }
}

/// Why a handshake did not go on.
enum TLSWatchError: Error, CustomStringConvertible {
  case timeout, tooMany

  var description: String {
    switch self {
    case .timeout: "the handshake was not done in time"
    case .tooMany: "others began so many handshakes that this one, as the oldest, had to go"
    }
  }
}
