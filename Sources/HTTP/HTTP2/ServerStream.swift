import NIOCore

/// One request and its answer on an HTTP/2 connection.
final class ServerStream: FrameStream, Exchange {
  enum RequestState {
    case receivingHeaders, receivingBody
    /// All of the request is here.
    case complete
  }

  enum HeadFault {
    case malformed, tooLarge
    /// The requests that are arriving take all the room there is.
    case noRoom

    /// Whether nothing of the list is kept.
    var isDropped: Bool { self != .malformed }
  }

  let eventLoop: any EventLoop
  /// Nil once the stream is closed.
  var connection: HTTP2ServerHandler?
  // The open streams of a connection form a list, the oldest first. It owns them.
  var next: ServerStream?
  unowned(unsafe) var previous: ServerStream?

  /// When the first byte of the request came; of a complete one the last.
  var since: NIODeadline
  var state = RequestState.receivingHeaders
  // No checks of exclusive access at run time in what each header field, frame and body touches:
  // they took a tenth of a request's time. Nothing here is entered twice, because nghttp2 is not.
  @exclusivity(unchecked) var head = HeaderBlock()
  @exclusivity(unchecked) var body: [UInt8] = []
  /// Bytes that `body` has room for.
  var bodyRoom = 0
  /// What `head` and `body` count in the connection's `arriving`.
  var arrivingBytes = 0
  /// Whether the method is HEAD, whose answers have no body (RFC 9110 9.3.2).
  private(set) var isForHeadOnly = false
  /// Why the request is refused when its header list has ended.
  var headFault: HeadFault?

  /// Kept until the stream ends, because nghttp2 has pointers into it.
  var answer: ResponseHeaders?
  /// Whether the peer's RST_STREAM has been seen; nghttp2 may still have to receive it.
  var isTakenBack = false
  /// Told when the stream ends, and then forgotten.
  private var watcher: (any ExchangeWatcher)?
  /// Whether nghttp2 has handed out the answer's end.
  var isAnswerSent = false
  /// What `outgoing` counts in the connection's `waitingAnswerBytes`.
  var waitingBytes = 0
  /// What the stream and its answer count in the connection's `answering`.
  var answeringBytes = 0
  /// How much of the answer has to be taken until the peer counts as slow, and since when.
  var goal: (taken: Int, since: NIODeadline)?

  init(id: Int32, connection: HTTP2ServerHandler, eventLoop: any EventLoop, at now: NIODeadline) {
    self.connection = connection
    self.eventLoop = eventLoop
    since = now
    super.init(id: id)
  }

  /// To be called while `head` is here: it is given away before the answer is made.
  func noteMethod() {
    head.withValue(of: ":method") { method in
      if let method, method.equals("HEAD") { isForHeadOnly = true }
    }
  }

  var isForgotten: Bool { connection?.context == nil }

  var isOpen: Bool { connection != nil && answer == nil }

  func tellEnd(to watcher: any ExchangeWatcher) {
    eventLoop.assertInEventLoop()
    guard isOpen, let connection else { return watcher.exchangeEnded() }
    self.watcher = watcher
    guard connection.isInputEnded else { return }
    // In a turn of its own: who has just begun to watch may not be ready to hear.
    eventLoop.assumeIsolated().execute { [self] in
      if isOpen, self.watcher === watcher { watcher.inputEnded() }
    }
  }

  func askForSignOfLife(_ completion: @escaping (SignOfLife) -> Void) {
    eventLoop.assertInEventLoop()
    guard let connection else { return completion(.gone) }
    connection.askForSignOfLife(completion)
  }

  /// Whether the request is one that waits, rather than one that is being worked on.
  var isWaiting: Bool { watcher?.isWaiting ?? false }

  func inputEnded() { watcher?.inputEnded() }

  func ended() {
    let watcher = watcher
    self.watcher = nil
    watcher?.exchangeEnded()
  }

  func respond(_ headers: ResponseHeaders, body: [UInt8], isBodyCounted: Bool) {
    eventLoop.assertInEventLoop()
    guard let connection, answer == nil else { return }
    connection.send(headers, isForHeadOnly ? [] : body, isBodyCounted: isBodyCounted, on: self)
  }
}
