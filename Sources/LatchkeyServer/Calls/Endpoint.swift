import HTTP2
import LockCore
import RPC
import Storage
import WireSchema

/// A method of one wire version: brings its requests to the service, and the answers back.
///
/// read → lift → work → store → answer → project → write
struct Endpoint {
  /// What a call asks of the store, and how the outcome becomes the body of its answer.
  struct Work {
    enum Order {
      case command(Command)
      case query(Query)
    }

    var order: Order
    /// What a long answer may take; the call keeps it.
    var share: AnswerBudget.Share?
    /// What makes a grant undone that could not be delivered; nil where the call does not wait.
    var undelivered: UnaryCall.Undelivered?
    var project: UnaryCall.Project
  }

  let path: String
  let method: String
  let version: UInt32
  /// Reads and judges a request that came `now`. The budget is that of the connection's long answers.
  let work:
    (UnaryRequest, _ now: MonotonicTime, _ answers: () -> AnswerBudget) throws(RPCError) -> Work

  static func all(of service: Locks) -> [Endpoint] {
    var list = EndpointList(service: service)
    WireVersions.visitAll(&list)
    return list.endpoints
  }

  private struct EndpointList: WireVersionVisitor {
    let service: Locks
    var endpoints: [Endpoint] = []

    mutating func visit<Version: WireVersion>(_ version: Version.Type) {
      endpoints += Endpoint.endpoints(of: service, in: version)
    }
  }

  private static func endpoints<Version: WireVersion>(
    of service: Locks, in _: Version.Type
  ) -> [Endpoint] {
    Version.Method.allCases.map { method in
      Endpoint(
        path: Version.path(of: method), method: method.rawValue, version: Version.number
      ) { (request, now, answers) throws(RPCError) in
        let message = try Version.Request(method, request.body, request.codec)
        let work: Locks.Work
        do throws(WireError) {
          work = try service.work(try Version.liftToNewest(message), at: now)
        } catch {
          throw RPCError(error, in: Version.self)
        }
        return try Self.work(work, request.codec, answers, in: Version.self)
      }
    }
  }

  private static func work<Version: WireVersion>(
    _ work: Locks.Work, _ codec: Codec, _ answers: () -> AnswerBudget, in _: Version.Type
  ) throws(RPCError) -> Work {
    switch work {
    case .command(let command, let undelivered, let answerBytesMax, let answer):
      let share = answerBytesMax > 0 ? answers().share() : nil
      if let share, !share.take(answerBytesMax) { throw RPCError.noRoom }
      return Work(order: .command(command), share: share, undelivered: undelivered) {
        (outcome, _) throws(RPCError) in
        try body(answer, outcome, codec, in: Version.self)
      }
    case .query(let query, let answer):
      return Work(order: .query(query)) { (outcome, call) throws(RPCError) in
        // Before it is encoded: what there is no room for shall cost nothing.
        if case .found(let record?) = outcome, let holder = record.holder {
          try call.makeRoom(for: holder.value.utf8.count)
        }
        return try body(answer, outcome, codec, in: Version.self)
      }
    case .list(let range):
      let share = answers().share()
      let list = ResourceList<Version>(codec: codec, share: share)
      return Work(order: .query(.list(range, into: list)), share: share) {
        (outcome, _) throws(RPCError) in
        guard case .listed(let end) = outcome else {
          throw RPCError(WireError(refusal: outcome, key: ""), in: Version.self)
        }
        return try list.takeBody(end)
      }
    }
  }

  private static func body<Version: WireVersion>(
    _ answer: (Outcome) throws(WireError) -> NewestWire.Response, _ outcome: Outcome,
    _ codec: Codec, in _: Version.Type
  ) throws(RPCError) -> [UInt8] {
    let response: Version.Response
    do throws(WireError) {
      response = try Version.projectFromNewest(try answer(outcome))
    } catch {
      throw RPCError(error, in: Version.self)
    }
    return try response.encoded(codec)
  }
}

extension RPCError {
  /// An error of the service as a peer of `Version` is to see it.
  fileprivate init<Version: WireVersion>(_ error: WireError, in _: Version.Type) {
    self.init(Version.projectFromNewest(error))
  }
}
