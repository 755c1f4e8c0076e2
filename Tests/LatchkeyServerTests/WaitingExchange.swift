import HTTP
import NIOCore
import NIOEmbedded

/// A request that waits for its answer, as its receiver sees it.
final class WaitingExchange: Exchange {
  let eventLoop: any EventLoop = EmbeddedEventLoop()
  var isOpen = true
  var isAnswerSent: Bool { false }
  var isForgotten: Bool { false }
  func tellEnd(to watcher: any ExchangeWatcher) {}
  func askForSignOfLife(_ completion: @escaping (SignOfLife) -> Void) { completion(.untold) }
  func respond(_ headers: ResponseHeaders, body: [UInt8], isBodyCounted: Bool) {}
}
