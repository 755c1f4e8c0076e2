import HTTP
import NIOCore
import NIOHTTP1

// Answers, and what comes after them.
extension HTTP1Handler {
  func refuse(_ refusal: HTTP1Refusal) { refuse(rejections[refusal]) }

  /// Answers what is no HTTP at all, in place of any request.
  func refuse(_ foreign: ForeignProtocol) { refuse(rejections[foreign]) }

  /// Answers before the request is complete. Its rest is not waited for: the connection closes
  /// (``LingeringClose``).
  private func refuse(_ rejection: Rejections.Rejection) {
    isKeptAlive = false
    isRestUnread = true
    forgetRequest()
    write(rejection.headers, body: rejection.body, isBodyCounted: false, isHead: false)
  }

  func write(
    _ headers: ResponseHeaders, body: [UInt8], isBodyCounted: Bool, isHead: Bool,
    isOld: Bool = false
  ) {
    guard let context else { return }
    guard isBodyCounted || answering.takeAnswer(body.count) else { return close() }
    state = .writing(left: .max, since: context.eventLoop.now)
    if isDraining || (isInputEnded && pending.readableBytes == 0) { isKeptAlive = false }
    let head = HTTPResponseHead(
      headers, bodyBytes: body.count, isKeptAlive: isKeptAlive, isOld: isOld)
    let written = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    written.futureResult.whenComplete { result in
      switch result {
      case .success: bound.value.wasWritten()
      case .failure: bound.value.couldNotWrite()
      }
    }
    if isHead || body.isEmpty {
      context.writeAndFlush(wrapOutboundOut(.head(head)), promise: written)
    } else {
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      let buffer = context.channel.allocator.buffer(bytes: body)
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: written)
    }
  }

  /// The answer is out. Only now is its end told, and only now comes the next request: a peer that
  /// sends many and reads nothing has one answer waiting, not all.
  private func wasWritten() {
    exchange?.isAnswerSent = true
    exchangeEnded()
    guard let context else { return }
    guard isKeptAlive, !isDraining else { return closeAfterAnswer(context) }
    state = .idle(since: context.eventLoop.now)
    advance()
  }

  /// The peer shall get to read the answer, whatever it sends meanwhile.
  func closeAfterAnswer(_ context: ChannelHandlerContext) {
    guard isRestUnread || pending.readableBytes > 0 else { return close() }
    state = .ended
    forgetRequest()
    lingering = LingeringClose.begin(on: context, limits)
    if isDraining { lingering?.beginDrain() }
  }

  /// Nobody reads: nothing that is pending has to be answered.
  private func couldNotWrite() {
    exchangeEnded()
    close()
  }
}
