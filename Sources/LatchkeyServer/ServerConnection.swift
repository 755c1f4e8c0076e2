import HTTP2
import LockContent
import Logging
import NIOCore
import WireSchema

/// What the server learns of one HTTP/2 connection: the versions its peer speaks, and its end.
final class ServerConnection: HTTP2ServerEvents {
  private let metrics: ServerMetrics
  private let logger: Logger
  private var isNegotiated = false

  /// Bytes that are logged of what a client says that it is.
  private static let softwareBytesMax = 64

  init(metrics: ServerMetrics, logger: Logger) {
    self.metrics = metrics
    self.logger = logger
  }

  func peerOffered(settingsValue: UInt32) {
    // A peer that moves within its range later is still the same connection.
    guard !isNegotiated else { return }
    isNegotiated = true
    let range = WireRange(settingsValue: settingsValue)
    metrics.negotiated(range.flatMap { WireVersions.spoken.newestCommon(with: $0) })
  }

  func peerHello(_ payload: [UInt8]) {
    guard logger.logLevel <= .debug, let hello = HelloFrame.decode(payload) else { return }
    let software = hello.software.beginning(bytesMax: Self.softwareBytesMax)
    logger.debug("client said hello", metadata: ["software": "\(software)"])
  }

  func connectionEnded(reason: HTTP2ConnectionEnd) {
    metrics.ended(reason: reason.code.rawValue)
    logger.debug("connection ended", metadata: ["reason": "\(reason)"])
  }
}

/// One value for each event loop of a group, to be used there only.
///
/// `@unchecked Sendable`: each value is reached only through its own event loop, which is asserted.
final class LoopLocal<Value>: @unchecked Sendable {
  private let values: [(loop: any EventLoop, value: Value)]

  init(_ values: [Value], loops: [EventLoopContext]) {
    self.values = zip(loops, values).map { ($0.eventLoop, $1) }
  }

  subscript(loop: any EventLoop) -> Value {
    loop.assertInEventLoop()
    return values.first { $0.loop === loop }!.value
  }
}
