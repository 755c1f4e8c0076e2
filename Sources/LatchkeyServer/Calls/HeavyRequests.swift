import HTTP2
import NIOCore
import NIOPosix

/// Requests that take long to read: large ones, and those that may become large when they are inflated.
///
/// The worst of them take a tenth of a second, whatever their form. So another thread reads them, and the
/// event loop serves everybody else meanwhile. One is read at a time, and connections take turns, so that
/// nobody waits for all that one peer has sent.
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
    let exchange: any Exchange
    let start: () -> Void
  }

  /// What waits of one connection.
  private final class Line {
    var requests = CircularBuffer<Request>()
    var room: RoomBudget.Share

    init(_ budget: RoomBudget) { room = RoomBudget.Share(of: budget, bytesMax: .max) }
  }

  private let eventLoop: any EventLoop
  /// Has another thread do something.
  private let elsewhere: (@escaping @Sendable () -> Void) -> Void
  private let room: RoomBudget
  private var lines: [ObjectIdentifier: Line] = [:]
  /// Each connection of which something waits, once; the next one first.
  private var turns = CircularBuffer<ObjectIdentifier>()
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

  /// Whether `body` takes long to read, or may do so once it is inflated (RFC 1952: how gzip begins).
  static func isHeavy(_ body: [UInt8]) -> Bool {
    body.count >= bodyBytesMin || (body.count > 2 && body[0] == 0x1f && body[1] == 0x8b)
  }

  /// Calls `read` on another thread, once it is this request's turn, and `then` with what came of it back
  /// on the event loop: neither where nobody waits for the answer by then.
  ///
  /// - Returns: False where too much waits already; nothing was done then.
  func add<Value: Sendable>(
    _ exchange: any Exchange, bodyBytes: Int, read: @escaping @Sendable () -> Value,
    then: @escaping (Value) -> Void
  ) -> Bool {
    let bytes = bodyBytes + Self.overheadBytes
    guard ended == nil, let connection = exchange.connectionID else { return false }
    let line = lines[connection] ?? Line(room)
    guard line.room.take(bytes) else { return false }
    if lines.updateValue(line, forKey: connection) == nil { turns.append(connection) }
    line.requests.append(
      Request(bytes: bytes, exchange: exchange) { [unowned self] in
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
    while !turns.isEmpty {
      let connection = turns.removeFirst()
      guard let line = lines[connection] else { continue }
      let request = line.requests.removeFirst()
      line.room.giveBack(request.bytes)
      if line.requests.isEmpty {
        lines[connection] = nil
      } else {
        turns.append(connection)
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
    turns = []
    if !isReading { promise.succeed() }
    return promise.futureResult
  }
}
