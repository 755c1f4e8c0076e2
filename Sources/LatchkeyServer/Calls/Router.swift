import Access
import HTTP
import LockCore
import Storage
import WireSchema

/// Takes every request of one event loop and brings it to what answers it.
final class Router {
  private final class Route {
    /// The path as bytes: most requests are told apart by comparing these.
    let path: [UInt8]
    let endpoint: Endpoint
    let metrics: MethodMetrics

    init(_ endpoint: Endpoint, _ metrics: MethodMetrics) {
      path = Array(endpoint.path.utf8)
      self.endpoint = endpoint
      self.metrics = metrics
    }
  }

  private let loop: EventLoopContext
  private let operations: Operations
  let doorkeeper: Doorkeeper
  private let events: EventAccount
  private let bodyBytesMax: Int
  private let routes: [Route]
  /// Calls in a version or method that there is not.
  private let unknownCalls: MethodMetrics

  init(
    loop: EventLoopContext, operations: Operations, doorkeeper: Doorkeeper, events: EventAccount,
    metrics: ServerMetrics, bodyBytesMax: Int
  ) {
    self.loop = loop
    self.operations = operations
    self.doorkeeper = doorkeeper
    self.events = events
    self.bodyBytesMax = bodyBytesMax
    routes = Endpoint.all.map { endpoint in
      Route(endpoint, metrics.method(endpoint.method, wire: endpoint.version))
    }
    unknownCalls = metrics.method("unknown", wire: 0)
  }

  func receive(
    _ head: HeaderBlock, body: [UInt8], exchange: any Exchange, on connection: Connection
  ) {
    let route = head.withValue(of: ":path") { path in
      path.flatMap { path in
        routes.first { route in route.path.withUnsafeBytes { path.equals($0) } }
      }
    }
    guard let route, connection.purpose != .operations else {
      return receiveElsewhere(head, exchange, connection)
    }
    guard connection.room == .everything else {
      return loop.answers.refuse(exchange, Self.noConnections)
    }
    let isPost = head.withValue(of: ":method") { $0?.equals("POST") ?? false }
    guard isPost else {
      return loop.answers.refuse(
        exchange,
        RPCError(.unimplemented, "calls are made with POST", httpStatus: 405),
        [("allow", "POST")])
    }
    let time = loop.clock()
    let account = account(of: head, on: connection)
    // Who asks is looked at before the message is read.
    identify(head, bodyBytes: body.count, exchange, connection) { [self] found in
      do throws(RPCError) {
        let asker = try found.get()
        account.asker = asker
        // Who holds something may keep it, and is welcome to give it back.
        if !route.endpoint.isOfHolder { try asker.takeRequest(at: time) }
        let context = CallContext(
          connection: connection, asker: asker, account: account, exchange: exchange,
          metrics: route.metrics, time: time)
        receive(head, body, route, context)
      } catch {
        route.metrics.answered(error.code, nanoseconds: loop.clock() - time)
        refuseWho(asks: exchange, account, error)
      }
    }
  }

  private func account(of head: HeaderBlock, on connection: Connection) -> CallAccount {
    let id = head.withValue(of: "x-request-id") { value in
      value.map { String(decoding: $0.prefix(Self.requestIDBytesMax), as: UTF8.self) }
    }
    return CallAccount(events, of: CallOrigin(peer: connection.peerName, requestID: id ?? ""))
  }

  private static let requestIDBytesMax = 128

  /// Calls `then` with who asks: at once, or when another thread has looked at what was shown.
  private func identify(
    _ head: HeaderBlock, bodyBytes: Int, _ exchange: any Exchange, _ connection: Connection,
    then: @escaping (Result<Asker, RPCError>) -> Void
  ) {
    let unverified: Doorkeeper.Unverified
    do throws(RPCError) {
      switch try doorkeeper.look(at: head, on: connection) {
      case .asker(let asker): return then(.success(asker))
      case .unverified(let shown): unverified = shown
      }
    } catch {
      return then(.failure(error))
    }
    let isAdmitted = loop.heavyRequests.add(
      exchange, of: connection, bodyBytes: bodyBytes + unverified.bytes,
      cost: JWTs.verificationCost
    ) {
      unverified.verify()
    } then: { [doorkeeper] verdict in
      then(
        Result { () throws(RPCError) in try doorkeeper.asker(of: unverified, verdict) })
    } dropped: {
      then(.failure(Self.noRoom))
    }
    if !isAdmitted { then(.failure(Self.noRoom)) }
  }

  /// Reads a request of somebody who is known, or known to be nobody.
  private func receive(_ head: HeaderBlock, _ body: [UInt8], _ route: Route, _ context: CallContext)
  {
    let (exchange, connection, time) = (context.exchange, context.connection, context.time)
    let (endpoint, bytesMax) = (route.endpoint, bodyBytesMax)
    guard HeavyRequests.isHeavy(body) else {
      return begin(route, context) { () throws(RPCError) in
        try endpoint.read(head, body: body, bytesMax: bytesMax, at: context.time)
      }
    }
    let isAdmitted = loop.heavyRequests.add(
      exchange, of: connection, bodyBytes: body.count,
      cost: HeavyRequests.cost(of: body, bodyBytesMax: bytesMax)
    ) {
      Result { () throws(RPCError) in
        try endpoint.read(head, body: body, bytesMax: bytesMax, at: time)
      }
    } then: { [self] result in
      begin(route, context) { () throws(RPCError) in try result.get() }
    } dropped: { [self] in
      refuse(Self.noRoom, route, context)
    }
    if !isAdmitted { refuse(Self.noRoom, route, context) }
  }

  private static let noConnections = RPCError(
    .unavailable, "as many connections as may be are open (--max-connections)")
  private static let noRoom = RPCError(
    .resourceExhausted, "large requests that wait to be read take all the room there is")

  private func begin(
    _ route: Route, _ context: CallContext, _ read: () throws(RPCError) -> ReadRequest
  ) {
    do throws(RPCError) {
      try route.endpoint.begin(try read(), context)
    } catch {
      refuse(error, route, context)
    }
  }

  private func refuse(_ error: RPCError, _ route: Route, _ context: CallContext) {
    route.metrics.answered(error.code, nanoseconds: loop.clock() - context.time)
    context.account.refused(error)
    let acceptPost: [(String, String)] =
      error.httpStatus == 415
      ? [("accept-post", Codec.allCases.map(\.contentType).joined(separator: ", "))] : []
    loop.answers.refuse(context.exchange, error, acceptPost)
  }

  // MARK: - Everything else

  private func receiveElsewhere(
    _ head: HeaderBlock, _ exchange: any Exchange, _ connection: Connection
  ) {
    let path = head.value(of: ":path") ?? ""
    // Every path there is, in any version, is ASCII. Looking at others as characters takes a time that
    // grows with the square of their length.
    guard path.utf8.allSatisfy({ $0 < 0x80 }) else {
      return loop.answers.refuse(exchange, Self.nothingThere)
    }
    if let operation = operations.operation(path: path, for: connection.purpose) {
      return answer(operation, path: path, head, exchange, connection)
    }
    guard connection.purpose != .operations else {
      return loop.answers.refuse(exchange, Self.noCalls)
    }
    if operations.operation(path: path, for: .operations) != nil {
      return loop.answers.refuse(exchange, Self.notHere)
    }
    let start = loop.clock()
    let error = unknownCall(path: path)
    unknownCalls.answered(error.code, nanoseconds: loop.clock() - start)
    loop.answers.refuse(exchange, error)
  }

  private func answer(
    _ operation: Operations.Operation, path: String, _ head: HeaderBlock,
    _ exchange: any Exchange, _ connection: Connection
  ) {
    let method = head.value(of: ":method") ?? ""
    guard operation.needsRight else {
      return operations.answer(operation, path: path, method: method, exchange, loop)
    }
    let account = account(of: head, on: connection)
    identify(head, bodyBytes: 0, exchange, connection) { [self] found in
      do throws(RPCError) {
        let asker = try found.get()
        account.asker = asker
        guard asker.may(.operate) else {
          return refuseWho(
            asks: exchange, account,
            RPCError(
              .permissionDenied, "\(Asker.word): \(asker.name) may not \(Right.operate) this server"
            ))
        }
        operations.answer(operation, path: path, method: method, exchange, loop)
      } catch {
        refuseWho(asks: exchange, account, error)
      }
    }
  }

  private func refuseWho(
    asks exchange: any Exchange, _ account: CallAccount, _ error: RPCError
  ) {
    account.refused(error)
    loop.answers.refuse(exchange, error, error.code == .unauthenticated ? Self.authenticate : [])
  }

  /// How to prove who one is (RFC 9110, section 11.6.1).
  private static let authenticate = [("www-authenticate", "Bearer")]
  private static let noCalls = RPCError(
    .unimplemented, "at this address it is only told how the server is, such as at /status",
    httpStatus: 404)
  private static let notHere = RPCError(
    .unimplemented, "this is told at the address of --admin-listen", httpStatus: 404)
  private static let nothingThere = RPCError(
    .unimplemented, "there is nothing at this path; calls are at /latchkey.v1.Locks/Lock",
    httpStatus: 404)

  /// A call in a version that is not spoken here is answered with the range that is: the client
  /// lowers (or raises) itself once and asks again.
  private func unknownCall(path: String) -> RPCError {
    guard let version = WireVersions.version(inPath: path) else {
      return Self.nothingThere
    }
    guard let number = UInt32(version), WireVersions.spoken.contains(number) else {
      let offered = loop.offer.range
      let value: [UInt8] = (try? offered.message.serializedBytes()) ?? []
      return RPCError(
        .unimplemented,
        "wire v\(version) is not spoken here; this server (\(Release.version)) speaks \(offered)",
        details: [RPCError.Detail(type: WireRange.detailType, value: value)])
    }
    guard WireVersions.all.contains(where: { path.hasPrefix("/\($0.service)/") }) else {
      return Self.nothingThere
    }
    return RPCError(.unimplemented, "wire v\(version) has no such method")
  }
}
