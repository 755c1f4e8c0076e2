import HTTP2
import LockCore
import RPC
import Storage
import WireSchema

// The service's calls by what they ask of the store.

/// A request that nothing is wrong with, as far as can be told without the store.
struct ReadRequest: Sendable {
  let request: UnaryRequest
  let work: Locks.Work
}

extension Endpoint {
  /// Reads and judges a request, on any thread.
  ///
  /// - Parameter time: When it came.
  func read(
    _ head: HeaderBlock, body: [UInt8], bytesMax: Int, at time: MonotonicTime
  ) throws(RPCError) -> ReadRequest {
    let request = try UnaryRequest(head, body: body, bytesMax: bytesMax)
    do throws(WireError) {
      let work = try Locks.work(try read(request.body, request.codec), at: time)
      return ReadRequest(request: request, work: work)
    } catch {
      throw refusal(error)
    }
  }

  /// Hands a request to the store, on its event loop.
  func begin(_ read: ReadRequest, _ arrival: Arrival) throws(RPCError) {
    let request = read.request
    let store = arrival.loop.store
    switch read.work {
    case .command(let command):
      let call = try CommandCall(command, self, arrival, request)
      store.submit(command, deadline: call.deadline, call: call)
    case .get(let key):
      let call = GetCall(key, self, arrival, request)
      store.ask(.fetch(key: key), deadline: call.deadline, call: call)
    case .list(var range):
      // What v1 promises of FetchAll; later versions promise less, so that no list holds up the
      // store's log.
      range.isOfOneMoment = version == V1.number
      let call = ListCall(self, arrival, request)
      store.ask(
        .list(range, into: call.list), from: arrival.exchange.connectionID,
        deadline: call.deadline, call: call)
    }
  }
}

extension UnaryCall {
  fileprivate func written(
    _ answer: () throws(WireError) -> NewestWire.Response
  ) throws(RPCError) -> [UInt8] {
    do throws(WireError) {
      return try endpoint.write(try answer(), codec)
    } catch {
      throw endpoint.refusal(error)
    }
  }
}

private final class CommandCall: UnaryCall, @unchecked Sendable {
  private let command: Command

  init(
    _ command: Command, _ endpoint: Endpoint, _ arrival: Arrival, _ request: UnaryRequest
  ) throws(RPCError) {
    self.command = command
    let answerBytesMax = Locks.answerBytesMax(of: command, request.codec)
    let share = try arrival.loop.share(
      of: \.renewals, ofAnswer: answerBytesMax, on: arrival.exchange)
    var peer: WaitingPeer?
    if case .claimWaiting = command {
      peer = arrival.loop.waitingPeer(of: arrival.exchange, at: arrival.time)
    }
    super.init(endpoint, arrival, request, share: share, peer: peer)
  }

  override func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    let body = try written { () throws(WireError) in try Locks.answer(to: command, outcome) }
    // Most owners are shorter than they may be, and a peer that is slow to read keeps it.
    keepRoom(for: body.count)
    return body
  }

  override var mayWait: Bool { if case .claimWaiting = command { true } else { false } }

  override func undoing(_ outcome: Outcome) -> Command? { Locks.undoing(command, outcome) }
}

private final class GetCall: UnaryCall, @unchecked Sendable {
  private let key: String

  init(_ key: String, _ endpoint: Endpoint, _ arrival: Arrival, _ request: UnaryRequest) {
    self.key = key
    super.init(endpoint, arrival, request)
  }

  override func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    // Before it is encoded: what there is no room for shall cost nothing.
    var estimate = 0
    if case .found(let record?) = outcome, let holder = record.holder {
      estimate = holder.byteCount
      try makeRoom(for: estimate)
    }
    let body = try written { () throws(WireError) in try Locks.answer(toGet: key, outcome) }
    // Some versions have more to say of it, and JSON says it at length.
    if body.count > estimate { try makeRoom(for: body.count) }
    return body
  }
}

private final class ListCall: UnaryCall, @unchecked Sendable {
  let list: ResourceList

  init(_ endpoint: Endpoint, _ arrival: Arrival, _ request: UnaryRequest) {
    let share = arrival.loop.answerBudget(\.lists, of: arrival.exchange).share()
    list = ResourceList(of: endpoint, codec: request.codec, share: share)
    super.init(endpoint, arrival, request, share: share)
  }

  override var mayTakeLong: Bool { true }

  override func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    guard case .listed(let end) = outcome else {
      throw endpoint.refusal(WireError(refusal: outcome, key: ""))
    }
    return try list.takeBody(end)
  }
}
