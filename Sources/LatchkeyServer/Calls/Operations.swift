import HTTP
import LockCore
import Storage
import WireSchema

/// What people, load balancers and Prometheus ask of a server: /healthz, /readyz, /metrics, /status, /events.
final class Operations: Sendable {
  /// How long /readyz and /status wait for the store, in milliseconds.
  static let storeMillisecondsMax: Int64 = 2_000

  private let fleet: Fleet
  /// Writes all metrics; nil where they go elsewhere.
  private let metricsText: (@Sendable () -> String)?
  private let events: EventAccount

  init(fleet: Fleet, events: EventAccount, metricsText: (@Sendable () -> String)?) {
    self.fleet = fleet
    self.events = events
    self.metricsText = metricsText
  }

  /// What can be asked, as it is called in a path.
  enum Operation: String {
    case healthz, readyz, metrics, status, events

    /// Whether not everybody may ask it.
    var needsRight: Bool { self != .healthz && self != .readyz }
  }

  /// - Returns: Nil where `path` is none of these, or one that is not answered for `purpose`.
  func operation(path: String, for purpose: Listener.Purpose) -> Operation? {
    guard path.hasPrefix("/"),
      let operation = Operation(rawValue: String(path.dropFirst().prefix { $0 != "?" }))
    else { return nil }
    if operation == .metrics, metricsText == nil { return nil }
    return operation.needsRight && purpose == .calls ? nil : operation
  }

  /// - Parameter path: With its query.
  func answer(
    _ operation: Operation, path: String, method: String, _ exchange: any Exchange,
    _ loop: EventLoopContext
  ) {
    guard method == "GET" || method == "HEAD" else {
      return loop.answers.refuse(
        exchange, RPCError(.unimplemented, "ask with GET", httpStatus: 405),
        [("allow", "GET, HEAD")])
    }
    switch operation {
    case .healthz: healthz(exchange, loop)
    case .readyz: readyz(exchange, loop)
    case .metrics: metrics(exchange, loop)
    case .status: status(exchange, loop)
    case .events: events(Query(of: path), exchange, loop)
    }
  }

  /// The process answers: nothing else is asked for.
  private func healthz(_ exchange: any Exchange, _ loop: EventLoopContext) {
    plain(exchange, loop, status: 200, "ok")
  }

  /// Whether this server should get requests: not while it shuts down or its store cannot be used.
  private func readyz(_ exchange: any Exchange, _ loop: EventLoopContext) {
    // The store may be closed by then.
    guard !loop.isLeaving else {
      return plain(exchange, loop, status: 503, Self.readiness(Self.ending))
    }
    loop.ask(.meta, by: deadline(loop)) { [self] result in
      let obstacle = obstacle(loop, result.map { _ in })
      plain(exchange, loop, status: obstacle == nil ? 200 : 503, Self.readiness(obstacle))
    }
  }

  /// Why this server should get no requests; nil where it should.
  private func obstacle(_ loop: EventLoopContext, _ looked: Result<Void, StoreError>) -> String? {
    if loop.isLeaving { return Self.ending }
    switch (looked, loop.store.health) {
    case (.success, .working): return events.refusal?.message
    case (.success, .failing(let error)), (.failure(let error), _): return error.message
    }
  }

  private static let ending = "shutting down"

  private static func readiness(_ obstacle: String?) -> String {
    switch obstacle {
    case nil: "ready"
    case ending: ending
    case let obstacle?: "not ready: \(obstacle)"
    }
  }

  /// Whoever asks while the metrics are not to be written again yet gets what is written then: never
  /// less than there was when it asked.
  private func metrics(_ exchange: any Exchange, _ loop: EventLoopContext) {
    loop.metricsReaders.add(exchange) { [metricsText] readers in
      let headers = loop.answers.headers(status: 200, contentType: PrometheusRegistry.contentType)
      let body = Array((metricsText?() ?? "").utf8)
      for reader in readers { reader.respond(headers, body: body) }
    }
  }

  /// While the store is away it tells what is known without it.
  private func status(_ exchange: any Exchange, _ loop: EventLoopContext) {
    look(loop) { [self] found in
      do {
        var status = fleet.status(found, of: loop.store, offer: loop.offer)
        status.readiness = Self.readiness(obstacle(loop, found.map { _ in }))
        exchange.respond(
          loop.answers.headers(status: 200, contentType: Codec.json.contentType),
          body: try Codec.json.encode(status))
      } catch {
        loop.answers.refuse(exchange, RPCError(.internal, "\(error)"))
      }
    }
  }

  // MARK: - Events

  /// What is asked for behind a path: `?name=value&…` (RFC 3986, section 3.4).
  private struct Query {
    private var values: [String: String] = [:]

    init(of path: String) {
      let sides = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
      guard sides.count == 2 else { return }
      for part in sides[1].split(separator: "&") {
        let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard pair.count == 2, let value = Self.decoded(pair[1]) else { continue }
        values[String(pair[0])] = value
      }
    }

    subscript(name: String) -> String? { values[name] }

    /// Nil for what is no UTF-8.
    private static func decoded(_ text: Substring) -> String? {
      var bytes: [UInt8] = []
      var rest = Array(text.utf8)[...]
      while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
          bytes.append(byte)
          continue
        }
        let digits = String(decoding: rest.prefix(2), as: UTF8.self)
        guard rest.count >= 2, let decoded = UInt8(digits, radix: 16) else { return nil }
        bytes.append(decoded)
        rest = rest.dropFirst(2)
      }
      return String(validating: bytes, as: UTF8.self)
    }
  }

  /// As many as are told where nobody says how many.
  private static let eventsDefault = 100

  private func events(_ query: Query, _ exchange: any Exchange, _ loop: EventLoopContext) {
    let answers = loop.answers
    let max = query["limit"].map { Int($0) ?? -1 } ?? Self.eventsDefault
    guard (1...RecentEvents.countMax).contains(max) else {
      return answers.refuse(
        exchange,
        RPCError(.invalidArgument, "limit is a number of 1 to \(RecentEvents.countMax)"))
    }
    do throws(WireError) {
      exchange.respond(
        answers.headers(status: 200, contentType: Codec.json.contentType),
        body: try Codec.json.encode(events.recent.latest(of: query["key"], max: max)))
    } catch {
      answers.refuse(exchange, RPCError(.internal, error.message))
    }
  }

  private func look(
    _ loop: EventLoopContext, _ body: @escaping (Result<Fleet.Sight, StoreError>) -> Void
  ) {
    let deadline = deadline(loop)
    loop.ask(.meta, by: deadline) { meta in
      loop.ask(.prefix(ReservedKeys.servers), by: deadline) { servers in
        body(
          Result { () throws(StoreError) in
            guard case .meta(let meta, let lastRow) = try meta.get(),
              case .records(let servers) = try servers.get()
            else { preconditionFailure("an answer to another question") }
            return Fleet.Sight(meta: meta, lastRow: lastRow, servers: servers)
          })
      }
    }
  }

  private func deadline(_ loop: EventLoopContext) -> MonotonicTime {
    loop.clock() + Self.storeMillisecondsMax * 1_000_000
  }

  private func plain(
    _ exchange: any Exchange, _ loop: EventLoopContext, status: Int, _ text: String
  ) {
    exchange.respond(
      loop.answers.headers(status: status, contentType: "text/plain; charset=utf-8"),
      body: Array("\(text)\n".utf8))
  }
}

extension EventLoopContext {
  /// Asks the store a question of the server's own.
  func ask(
    _ query: Query, by deadline: MonotonicTime, _ body: @escaping (StoreResult) -> Void
  ) {
    store.ask(query, deadline: deadline, call: InternalCall(self, deadline: deadline, body))
  }
}

/// A call of the server's own.
///
/// `@unchecked Sendable`: used on its event loop only; the store's threads merely carry it.
final class InternalCall: StoreCall, TimedCall, @unchecked Sendable {
  let replyTarget: any ReplyTarget
  let isWanted = true
  private let deadline: MonotonicTime?
  /// Nil once it was called.
  private var body: ((StoreResult) -> Void)?

  /// - Parameter deadline: When to give the store up, which may be hanging; nil waits for ever.
  init(
    _ loop: EventLoopContext, deadline: MonotonicTime? = nil,
    _ body: @escaping (StoreResult) -> Void
  ) {
    replyTarget = loop
    self.deadline = deadline
    self.body = body
    if deadline != nil { loop.watchDeadline(of: self) }
  }

  func complete(_ result: StoreResult) {
    let body = body
    self.body = nil
    body?(result)
  }

  func isOver(at now: MonotonicTime) -> Bool {
    guard body != nil, let deadline else { return true }
    guard deadline <= now else { return false }
    complete(.failure(StoreError(.unavailable, "the store gives no answer")))
    return true
  }
}
