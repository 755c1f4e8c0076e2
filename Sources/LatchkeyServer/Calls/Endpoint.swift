import HTTP2
import LockCore
import RPC
import Storage
import WireSchema

/// A method of one wire version: brings its requests to the service, and the answers back.
///
/// read → lift → work → store → answer → project → write
struct Endpoint: Sendable {
  let path: String
  let method: String
  let version: UInt32
  /// Reads and judges a request, and hands it to the store.
  let begin: @Sendable (UnaryRequest, Arrival) throws(RPCError) -> Void

  /// Every method of every version.
  static let all = endpoints(from: OldestWire.self)

  /// From version to version by their types, so that what is done with each request is compiled for its
  /// version: calls through witness tables took a tenth of the throughput.
  private static func endpoints<Version: WireVersion>(
    from version: Version.Type
  ) -> [Endpoint] {
    let own = endpoints(in: version)
    return Version.isNewest ? own : own + endpoints(from: Version.Next.self)
  }

  private static func endpoints<Version: WireVersion>(
    in _: Version.Type
  ) -> [Endpoint] {
    Version.Method.allCases.map { method in
      Endpoint(
        path: Version.path(of: method), method: method.rawValue, version: Version.number
      ) { (request, arrival) throws(RPCError) in
        let work: Locks.Work
        do throws(WireError) {
          let message = try Version.Request(method, request.body, request.codec)
          work = try Locks.work(try Version.liftToNewest(message), at: arrival.time)
        } catch {
          throw RPCError(error, in: Version.self)
        }
        try begin(work, request, arrival, in: Version.self)
      }
    }
  }

  private static func begin<Version: WireVersion>(
    _ work: Locks.Work, _ request: UnaryRequest, _ arrival: Arrival, in _: Version.Type
  ) throws(RPCError) {
    let store = arrival.loop.store
    switch work {
    case .command(let command):
      let call = try CommandCall<Version>(command, arrival, request)
      store.submit(command, deadline: call.deadline, call: call)
    case .get(let key):
      let call = GetCall<Version>(key, arrival, request)
      store.ask(.fetch(key: key), deadline: call.deadline, call: call)
    case .list(let range):
      let call = ListCall<Version>(arrival, request)
      store.ask(.list(range, into: call.list), deadline: call.deadline, call: call)
    }
  }
}

// MARK: - The kinds of calls

private final class CommandCall<Version: WireVersion>: UnaryCall, @unchecked Sendable {
  private let command: Command

  init(_ command: Command, _ arrival: Arrival, _ request: UnaryRequest) throws(RPCError) {
    self.command = command
    let answerBytesMax = Locks.answerBytesMax(of: command)
    super.init(
      arrival, request,
      share: answerBytesMax > 0 ? try arrival.answerBudget.share(of: answerBytesMax) : nil)
  }

  override func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    try Version.body(codec) { () throws(WireError) in try Locks.answer(to: command, outcome) }
  }

  override var mayWait: Bool { if case .claimWaiting = command { true } else { false } }

  override func undoing(_ outcome: Outcome) -> Command? { Locks.undoing(command, outcome) }
}

private final class GetCall<Version: WireVersion>: UnaryCall, @unchecked Sendable {
  private let key: String

  init(_ key: String, _ arrival: Arrival, _ request: UnaryRequest) {
    self.key = key
    super.init(arrival, request)
  }

  override func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    // Before it is encoded: what there is no room for shall cost nothing.
    if case .found(let record?) = outcome, let holder = record.holder {
      try makeRoom(for: holder.value.utf8.count)
    }
    return try Version.body(codec) { () throws(WireError) in try Locks.answer(toGet: key, outcome) }
  }
}

private final class ListCall<Version: WireVersion>: UnaryCall, @unchecked Sendable {
  let list: ResourceList<Version>

  init(_ arrival: Arrival, _ request: UnaryRequest) {
    let share = arrival.answerBudget.share()
    list = ResourceList(codec: request.codec, share: share)
    super.init(arrival, request, share: share)
  }

  override func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    guard case .listed(let end) = outcome else {
      throw RPCError(WireError(refusal: outcome, key: ""), in: Version.self)
    }
    return try list.takeBody(end)
  }
}

extension WireVersion {
  fileprivate static func body(
    _ codec: Codec, _ answer: () throws(WireError) -> NewestWire.Response
  ) throws(RPCError) -> [UInt8] {
    do throws(WireError) {
      return try projectFromNewest(try answer()).encoded(codec)
    } catch {
      throw RPCError(error, in: Self.self)
    }
  }
}

extension RPCError {
  /// An error of the service as a peer of `Version` is to see it.
  fileprivate init<Version: WireVersion>(_ error: WireError, in _: Version.Type) {
    self.init(Version.projectFromNewest(error))
  }
}
