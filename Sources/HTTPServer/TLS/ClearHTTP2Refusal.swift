import HTTP
import NIOCore

/// Tells a client that speaks HTTP/2 in clear text, where it has to speak TLS, in a way that it can read.
final class ClearHTTP2Refusal: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let limits: HTTP1Limits
  private weak var lingering: LingeringClose?

  init(_ limits: HTTP1Limits) { self.limits = limits }

  /// SETTINGS, and GOAWAY with INADEQUATE_SECURITY and a word for a person (RFC 9113, sections 6.5, 6.8 and 7).
  static let frames: [UInt8] = {
    let message = Array(ForeignProtocol.clearText.message.utf8)
    return [
      0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, UInt8(8 + message.count), 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 12,
    ]
      + message
  }()

  func handlerAdded(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: Self.frames)), promise: nil)
    lingering = LingeringClose.begin(on: context, limits)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {}
}

extension ClearHTTP2Refusal: ServerPipeline.Handler {
  func beginDrain() { lingering?.beginDrain() }
  func beginDrainAfterFirstRequest() { beginDrain() }
}
