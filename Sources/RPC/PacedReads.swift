package import HTTP2
package import NIOCore

/// Passes on what has come on a connection: all of it at once while that keeps nobody waiting, otherwise a
/// little, and the rest in turns.
///
/// What one look at a socket brings may be a thousand requests of HTTP/2, each of a few bytes; where
/// thousands of connections send as much, a pass of the event loop over all of them takes many seconds.
/// Until all is passed on, nothing more is read.
package final class PacedReads: ChannelDuplexHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundIn = Never

  /// What is passed on at once, whoever waits, and how much at a time after that, in bytes: some twenty
  /// requests at most.
  package static let pieceBytes = 256
  /// After how long in its turn a connection leaves the rest to the next one.
  package static let turnTimeMax = TimeAmount.microseconds(500)
  /// What is kept for later turns, in bytes. Passed only where the peer has ended its side, since the system
  /// then hands over all that came before: such a connection is closed.
  package static let keptBytesMax = 327_680

  private let turns: Turns
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
    var bytes = unwrapInboundIn(data)
    if kept.readableBytes == 0 {
      if bytes.readableBytes <= Self.pieceBytes || turns.isTimeLeft {
        return context.fireChannelRead(data)
      }
      pass(bytes.readSlice(length: Self.pieceBytes)!, context)
    }
    keep(bytes, context)
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

  private func pass(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
    context.fireChannelRead(wrapInboundOut(bytes))
  }

  private func keep(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
    // Closed by what was passed on.
    guard self.context != nil else { return }
    // In a buffer of its own: that of the channel is larger, and will be read into again.
    var all = kept
    all.discardReadBytes()
    all.reserveCapacity(minimumWritableBytes: bytes.readableBytes)
    all.writeImmutableBuffer(bytes)
    kept = all
    let more = kept.storageCapacity - room.bytesUsed
    guard more > 0 else { return room.giveBack(-more) }
    guard room.take(more) else {
      end()
      return context.closeSoon()
    }
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
    turns.wait { [weak self] in
      self?.isWaiting = false
      self?.takeTurn()
    }
  }

  private func takeTurn() {
    guard let context else { return }
    let start = context.eventLoop.now
    isInTurn = true
    repeat {
      isReadWanted = false
      pass(kept.readSlice(length: min(kept.readableBytes, Self.pieceBytes))!, context)
      context.pipeline.read()
    } while kept.readableBytes > 0 && isReadWanted
      && context.eventLoop.now - start < Self.turnTimeMax
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
