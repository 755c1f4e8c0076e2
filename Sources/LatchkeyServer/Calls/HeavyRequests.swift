import HTTP2
import NIOCore

/// Requests that take long to read: large ones, and those that may become large when they are inflated.
/// One is read at a time, and between two of them the event loop serves everybody else. Connections take
/// turns, so that nobody waits for all that one peer has sent.
///
/// Belongs to one event loop.
final class HeavyRequests {
  /// A body of so many bytes, as it was sent, is large: reading it takes a millisecond and more.
  static let bodyBytesMin = 16_384
  /// Bodies that wait to be read at an event loop, in bytes. With more, requests are refused.
  static let waitingBytesMax = 64 << 20
  /// What a request counts besides its body, in bytes.
  private static let overheadBytes = 1_024
  /// From one to the next. A task that is to run at once would run before anybody else is served: NIO
  /// looks at its sockets when no task is due.
  private static let pause = TimeAmount.milliseconds(1)

  private struct Request {
    let bytes: Int
    let exchange: any Exchange
    let read: () -> Void
  }

  private let eventLoop: any EventLoop
  private var waiting: [ObjectIdentifier: [Request]] = [:]
  /// Each connection of which something waits, once; the next one first.
  private var turns: [ObjectIdentifier] = []
  private var waitingBytes = 0
  /// Whether one was read a moment ago.
  private var isPausing = false

  init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// Whether `body` takes long to read, or may do so once it is inflated (RFC 1952: how gzip begins).
  static func isHeavy(_ body: [UInt8]) -> Bool {
    body.count >= bodyBytesMin || (body.count > 2 && body[0] == 0x1f && body[1] == 0x8b)
  }

  /// Calls `read` in place or, where others of them are being read, later: not at all where nobody waits
  /// for the answer by then.
  ///
  /// - Returns: False where too much waits already; nothing was done then.
  func add(_ exchange: any Exchange, bodyBytes: Int, read: @escaping () -> Void) -> Bool {
    guard isPausing else {
      read()
      pause()
      return true
    }
    let bytes = bodyBytes + Self.overheadBytes
    guard waitingBytes + bytes <= Self.waitingBytesMax,
      let connection = exchange.connectionID
    else { return false }
    waitingBytes += bytes
    if waiting[connection] == nil { turns.append(connection) }
    waiting[connection, default: []].append(Request(bytes: bytes, exchange: exchange, read: read))
    return true
  }

  private func pause() {
    isPausing = true
    eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [weak self] in self?.readNext() }
  }

  private func readNext() {
    isPausing = false
    while !turns.isEmpty {
      let connection = turns.removeFirst()
      guard let request = waiting[connection]?.removeFirst() else { continue }
      if waiting[connection]?.isEmpty == true {
        waiting[connection] = nil
      } else {
        turns.append(connection)
      }
      waitingBytes -= request.bytes
      guard request.exchange.isOpen else { continue }
      request.read()
      return pause()
    }
  }
}
