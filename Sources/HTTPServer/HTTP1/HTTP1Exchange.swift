import HTTP
import NIOCore

/// A request of HTTP/1.1 that waits for its answer.
final class HTTP1Exchange: Exchange {
  private weak var handler: HTTP1Handler?
  let eventLoop: any EventLoop
  private let isHead: Bool
  private let isOld: Bool
  /// Whether the channel has taken the whole answer.
  var isAnswerSent = false

  init(handler: HTTP1Handler, eventLoop: any EventLoop, isHead: Bool, isOld: Bool) {
    self.handler = handler
    self.eventLoop = eventLoop
    self.isHead = isHead
    self.isOld = isOld
  }

  var isOpen: Bool { handler?.isConnected ?? false }
  var isForgotten: Bool { handler?.isGone ?? true }

  func tellEnd(to watcher: any ExchangeWatcher) {
    if isOpen { handler?.tell(watcher) } else { watcher.exchangeEnded() }
  }

  func askForSignOfLife(_ completion: @escaping (SignOfLife) -> Void) {
    completion(isOpen ? .untold : .gone)
  }

  func respond(_ headers: ResponseHeaders, body: [UInt8], isBodyCounted: Bool) {
    let handler = handler
    self.handler = nil
    handler?.write(
      headers, body: body, isBodyCounted: isBodyCounted, isHead: isHead, isOld: isOld)
  }
}
