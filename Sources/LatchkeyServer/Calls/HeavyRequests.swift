import HTTP
import HeapModule
import NIOCore
import NIOPosix
import RPC

/// Requests that take long to read: large ones, and those that may become large when they are inflated.
///
/// The worst of them take a tenth of a second, whatever their form. So another thread reads them, and the
/// event loop serves everybody else meanwhile. One is read at a time, and of the connections the one whose
/// next request, with what it had before, costs least: so nobody waits for all that one peer has sent, nor
/// behind the worst that many send. Where there is no room for all, those are refused that would come last.
///
/// Belongs to one event loop.
final class HeavyRequests {
  /// A body of so many bytes, as it was sent, is large: thousands of connections may complete one each at
  /// the same moment, and the worst form of this size takes a quarter of a millisecond.
  static let bodyBytesMin = 2_048
  /// Bodies that wait to be read for an event loop, in bytes, or more where one alone may be large. A
  /// connection has its part of it, as ``RoomBudget`` says. With more, requests are refused.
  static let waitingBytesMax = 64 << 20
  /// What a request counts besides its body, in bytes.
  private static let overheadBytes = 1_024

  private struct Request {
    let bytes: Int
    let cost: Int
    let exchange: any Exchange
    let start: () -> Void
    let drop: () -> Void
  }

  /// What waits of one connection.
  private final class Line: Comparable {
    let connection: ObjectIdentifier
    var requests = CircularBuffer<Request>()
    var room: RoomBudget.Share
    /// When the first one is due, and which of those that are due at once comes first.
    var due: (cost: Int, order: Int)

    init(_ connection: ObjectIdentifier, _ budget: RoomBudget, due: (cost: Int, order: Int)) {
      self.connection = connection
      room = RoomBudget.Share(of: budget, bytesMax: .max)
      self.due = due
    }

    static func < (one: Line, other: Line) -> Bool { one.due < other.due }
    static func == (one: Line, other: Line) -> Bool { one === other }
  }

  private let eventLoop: any EventLoop
  /// Has another thread do something.
  private let elsewhere: (@escaping @Sendable () -> Void) -> Void
  /// All that waits counts in it, small requests too: dropping one makes room.
  private let room: RoomBudget
  /// Of each connection of which something waits.
  private var lines: [ObjectIdentifier: Line] = [:]
  /// The same, by when they are due.
  private var queue = Heap<Line>()
  /// What each connection had cost that waited all the time, if all had been served at the same time: a
  /// clock by which requests are due. It goes on however cheap the requests are that come, so none waits
  /// for ever.
  private var costSoFar = 0
  private var order = 0
  /// What has made room and is yet to be told so.
  private var dropped: [() -> Void] = []
  private var isReading = false
  /// What is told when nothing is being read any more; nothing new is begun from then on.
  private var ended: EventLoopPromise<Void>?

  /// - Parameter bodyBytesMax: The largest body there may be, in bytes.
  init(
    eventLoop: any EventLoop, bodyBytesMax: Int,
    elsewhere: @escaping (@escaping @Sendable () -> Void) -> Void = { work in
      NIOThreadPool.singleton.submit { _ in work() }
    }
  ) {
    self.eventLoop = eventLoop
    self.elsewhere = elsewhere
    room = RoomBudget(
      bytesMax: Self.waitingBytesMax, connectionBytesMax: bodyBytesMax, freeBytes: 0,
      chunkBytes: Self.overheadBytes)
  }

  /// Whether `body` takes long to read, or may do so once it is inflated.
  static func isHeavy(_ body: [UInt8]) -> Bool { body.count >= bodyBytesMin || isGzip(body) }

  /// Whether `body` begins as gzip does (RFC 1952, 2.3.1).
  private static func isGzip(_ body: [UInt8]) -> Bool {
    body.count > 2 && body[0] == 0x1f && body[1] == 0x8b
  }

  /// What reading `body` may cost at most: its bytes, once it is inflated. It says itself how many these
  /// are, and is inflated no further.
  static func cost(of body: [UInt8], bodyBytesMax: Int) -> Int {
    guard isGzip(body), let inflated = Inflate.statedBytes(body) else { return body.count }
    return max(body.count, min(inflated, bodyBytesMax))
  }

  /// Calls `read` on another thread, once it is this request's turn, and `then` with what came of it back
  /// on the event loop: neither where nobody waits for the answer by then.
  ///
  /// - Parameter dropped: Called where there is no room for it any more, since cheaper ones came.
  /// - Returns: False where too much waits already; nothing was done then.
  func add<Value: Sendable>(
    _ exchange: any Exchange, of connection: AnyObject, bodyBytes: Int, cost: Int,
    read: @escaping @Sendable () -> Value,
    then: @escaping (Value) -> Void, dropped: @escaping () -> Void = {}
  ) -> Bool {
    let bytes = bodyBytes + Self.overheadBytes
    guard ended == nil, !exchange.isForgotten else { return false }
    let connection = ObjectIdentifier(connection)
    order += 1
    let known = lines[connection]
    let line = known ?? Line(connection, room, due: (costSoFar + cost, order))
    while !line.room.take(bytes) {
      guard known == nil, dropLast(before: line) else { return false }
    }
    line.requests.append(
      Request(bytes: bytes, cost: cost, exchange: exchange) { [unowned self] in
        start(read) { if exchange.isOpen { then($0) } }
      } drop: {
        if exchange.isOpen { dropped() }
      })
    if known == nil {
      lines[connection] = line
      queue.insert(line)
    }
    if !isReading { readNext() }
    return true
  }

  /// Makes room for `line`, which is not in the queue yet, by dropping what would be read last, if that is
  /// later.
  private func dropLast(before line: Line) -> Bool {
    guard let last = queue.max, last.due.cost > line.due.cost else { return false }
    let request = last.requests.removeLast()
    last.room.giveBack(request.bytes)
    if last.requests.isEmpty {
      queue.removeMax()
      lines[last.connection] = nil
    }
    // Its answer lets the next request of its connection in, which may need room as well.
    dropped.append(request.drop)
    if dropped.count == 1 {
      let this = NIOLoopBound(self, eventLoop: eventLoop)
      eventLoop.execute { this.value.tellDropped() }
    }
    return true
  }

  private func tellDropped() {
    let told = dropped
    dropped = []
    for tell in told { tell() }
  }

  private func start<Value: Sendable>(
    _ read: @escaping @Sendable () -> Value, then: @escaping (Value) -> Void
  ) {
    isReading = true
    let loop = eventLoop
    let finish: (Value) -> Void = { [self] value in
      isReading = false
      readNext()
      then(value)
    }
    // What belongs to the event loop is let go of there as well.
    let box = NIOLoopBoundBox<((Value) -> Void)?>(finish, eventLoop: loop)
    elsewhere {
      let value = read()
      loop.execute {
        let finish = box.value
        box.value = nil
        finish?(value)
      }
    }
  }

  private func readNext() {
    while let line = queue.popMin() {
      let request = line.requests.removeFirst()
      line.room.giveBack(request.bytes)
      costSoFar += request.cost / (queue.count + 1)
      if let next = line.requests.first {
        order += 1
        line.due = (line.due.cost + next.cost, order)
        queue.insert(line)
      } else {
        lines[line.connection] = nil
      }
      if request.exchange.isOpen { return request.start() }
    }
    ended?.succeed()
  }

  /// Begins nothing more, and drops what waits.
  ///
  /// - Returns: Done when nothing is being read any more: only then may the event loop end.
  func end() -> EventLoopFuture<Void> {
    let promise = ended ?? eventLoop.makePromise()
    ended = promise
    lines = [:]
    queue = Heap()
    if !isReading { promise.succeed() }
    return promise.futureResult
  }
}
