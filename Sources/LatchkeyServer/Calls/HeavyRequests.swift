import HTTP2
import NIOCore
import NIOPosix

/// Requests that take long to read: large ones, and those that may become large when they are inflated.
///
/// The worst of them take a tenth of a second, whatever their form. So another thread reads them, and the
/// event loop serves everybody else meanwhile. One is read at a time, and of the connections the one whose
/// next request, with what it had before, costs least: so nobody waits for all that one peer has sent, nor
/// behind the worst that many send.
///
/// Belongs to one event loop.
final class HeavyRequests {
  /// A body of so many bytes, as it was sent, is large: reading it takes a millisecond and more.
  static let bodyBytesMin = 16_384
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
  }

  /// What waits of one connection.
  private final class Line {
    var requests = CircularBuffer<Request>()
    var room: RoomBudget.Share
    /// When the first one is due, and which of those that are due at once comes first.
    var due: (cost: Int, order: Int)

    init(_ budget: RoomBudget, due: (cost: Int, order: Int)) {
      room = RoomBudget.Share(of: budget, bytesMax: .max)
      self.due = due
    }
  }

  private let eventLoop: any EventLoop
  /// Has another thread do something.
  private let elsewhere: (@escaping @Sendable () -> Void) -> Void
  private let room: RoomBudget
  /// Of each connection of which something waits.
  private var lines: [ObjectIdentifier: Line] = [:]
  /// What a connection had cost that always had its turn, when the last request was begun: a clock by
  /// which requests are due.
  private var costSoFar = 0
  private var order = 0
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
    room = RoomBudget(bytesMax: Self.waitingBytesMax, connectionBytesMax: bodyBytesMax)
  }

  /// Whether `body` takes long to read, or may do so once it is inflated.
  static func isHeavy(_ body: [UInt8]) -> Bool { body.count >= bodyBytesMin || isGzip(body) }

  /// Whether `body` begins as gzip does (RFC 1952, 2.3.1).
  private static func isGzip(_ body: [UInt8]) -> Bool {
    body.count > 2 && body[0] == 0x1f && body[1] == 0x8b
  }

  /// What reading `body` may cost at most: its bytes, once it is inflated (RFC 1951 makes 1,032 bytes of
  /// one at most).
  static func cost(of body: [UInt8], bodyBytesMax: Int) -> Int {
    isGzip(body) ? min(1_032 * body.count, bodyBytesMax) : body.count
  }

  /// Calls `read` on another thread, once it is this request's turn, and `then` with what came of it back
  /// on the event loop: neither where nobody waits for the answer by then.
  ///
  /// - Returns: False where too much waits already; nothing was done then.
  func add<Value: Sendable>(
    _ exchange: any Exchange, bodyBytes: Int, cost: Int, read: @escaping @Sendable () -> Value,
    then: @escaping (Value) -> Void
  ) -> Bool {
    let bytes = bodyBytes + Self.overheadBytes
    guard ended == nil, let connection = exchange.connectionID else { return false }
    order += 1
    let line = lines[connection] ?? Line(room, due: (costSoFar + cost, order))
    guard line.room.take(bytes) else { return false }
    lines[connection] = line
    line.requests.append(
      Request(bytes: bytes, cost: cost, exchange: exchange) { [unowned self] in
        start(read) { if exchange.isOpen { then($0) } }
      })
    if !isReading { readNext() }
    return true
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
    while let (connection, line) = lines.min(by: { $0.value.due < $1.value.due }) {
      let request = line.requests.removeFirst()
      line.room.giveBack(request.bytes)
      costSoFar = max(costSoFar, line.due.cost - request.cost)
      if let next = line.requests.first {
        order += 1
        line.due = (line.due.cost + next.cost, order)
      } else {
        lines[connection] = nil
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
    if !isReading { promise.succeed() }
    return promise.futureResult
  }
}
