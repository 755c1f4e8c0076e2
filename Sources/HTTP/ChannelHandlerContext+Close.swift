package import NIOCore

extension ChannelHandlerContext {
  /// Closes the channel in a turn of its own.
  ///
  /// NIO (2.101) reads on after `channelReadComplete` where a peer may close its sending side, and
  /// asserts that nobody has closed the channel meanwhile (`BaseSocketChannel.readable0`).
  package func closeSoon() {
    let channel = channel
    eventLoop.execute { channel.close(promise: nil) }
  }
}
