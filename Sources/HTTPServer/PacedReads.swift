package import HTTP
package import NIOCore

/// Passes on what has come on a connection: all of it at once while that keeps nobody waiting, otherwise in
/// turns, a little in each.
///
/// What one look at a socket brings may be a thousand requests of HTTP/2, each of a few bytes; where
/// thousands of connections send as much, a pass of the event loop over all of them takes many seconds.
/// Until all is passed on, nothing more is read.
package final class PacedReads: ChannelDuplexHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundIn = Never

  /// The room for what is kept for later turns, in bytes. It is passed only where the peer has ended its side,
  /// since the system then hands over all that came before: such a connection is closed.
  package static let keptBytesMax = 1 << 20

  private let turns: Turns
  private let account = Turns.Account()
  private var kept = ByteBuffer()
  private var room: RoomBudget.Share
  /// Nil once nothing more is passed on.
  private var context: ChannelHandlerContext?
  /// Whether those behind want to read more.
  private var isReadWanted = false
  private var isWaiting = false
  private var isInTurn = false
  /// The peer has ended its side, which those behind are told once they have all that came before.
  private var isInputClosed = false

  /// - Parameter arrivals: The budget of all connections for requests that are arriving.
  package init(turns: Turns, arrivals: RoomBudget) {
    self.turns = turns
    room = RoomBudget.Share(of: arrivals, bytesMax: Self.keptBytesMax)
  }

  package func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  package func handlerRemoved(context: ChannelHandlerContext) { end() }

  package func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  private func end() {
    context = nil
    dropKept()
  }

  private func dropKept() {
    kept = ByteBuffer()
    room.giveBack(room.bytesUsed)
  }

  // MARK: - What comes

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard self.context != nil else { return }
    let bytes = unwrapInboundIn(data)
    if kept.readableBytes == 0, turns.mayGoOn(account, bytes: bytes.readableBytes) {
      context.fireChannelRead(data)
    } else {
      keep(bytes, context)
    }
  }

  package func channelReadComplete(context: ChannelHandlerContext) {
    context.fireChannelReadComplete()
    askForReads(context)
  }

  package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event as? ChannelEvent == .inputClosed, kept.readableBytes > 0 {
      isInputClosed = true
      askForReads(context)
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  private func keep(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
    // In a buffer of its own: that of the channel is larger, and will be read into again.
    kept.discardReadBytes()
    kept.writeImmutableBuffer(bytes)
    let more = kept.storageCapacity - room.bytesUsed
    guard more > 0 else { return room.giveBack(-more) }
    guard room.take(more) else {
      end()
      context.fireErrorCaught(NoRoom())
      return context.closeSoon()
    }
  }

  private struct NoRoom: Error, CustomStringConvertible {
    let description = "there is no room for what came with the end of the peer's side"
  }

  // MARK: - Turns

  package func read(context: ChannelHandlerContext) {
    guard kept.readableBytes > 0 else { return context.read() }
    isReadWanted = true
    if !isInTurn { wait() }
  }

  /// Has those behind ask for more, if they want it: the channel asks once for all that it has read.
  private func askForReads(_ context: ChannelHandlerContext) {
    if kept.readableBytes > 0, !isWaiting { context.pipeline.read() }
  }

  private func wait() {
    guard !isWaiting else { return }
    isWaiting = true
    turns.wait(account) { [weak self] in
      self?.isWaiting = false
      self?.takeTurn()
    }
  }

  private func takeTurn() {
    guard let context else { return }
    let (start, timeMax) = (turns.now, turns.turnTime)
    isInTurn = true
    repeat {
      isReadWanted = false
      let piece = kept.readSlice(length: min(kept.readableBytes, Turns.littleBytes))!
      context.fireChannelRead(wrapInboundOut(piece))
      context.pipeline.read()
    } while kept.readableBytes > 0 && isReadWanted && turns.now - start < timeMax
    isInTurn = false
    context.fireChannelReadComplete()
    if kept.readableBytes > 0 {
      if isReadWanted { wait() }
    } else {
      dropKept()
      if isInputClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
    }
  }
}
