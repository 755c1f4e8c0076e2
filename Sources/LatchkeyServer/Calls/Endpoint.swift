import HTTP
import LockCore
import RPC
import Storage
import WireSchema

/// A request that nothing is wrong with, as far as can be told without the store.
struct ReadRequest: Sendable {
  let request: UnaryRequest
  let work: Locks.Work
}

/// A method of one wire version: how its requests come to the service, which speaks the newest version
/// only, and how the answers go back.
///
/// read, lift → ``Locks`` → project, write
final class Endpoint: Sendable {
  let path: String
  let method: String
  let version: UInt32
  /// Whether it only keeps or gives back what is held.
  let isOfHolder: Bool
  /// Reads a request and lifts it to the newest version.
  let read: @Sendable ([UInt8], Codec) throws(WireError) -> NewestWire.Request
  /// Projects an answer to this version and writes it.
  let write: @Sendable (NewestWire.Response, Codec) throws(WireError) -> [UInt8]
  /// What an error is in this version.
  private let project: @Sendable (WireError) -> WireError

  /// Every method of every version.
  static let all = endpoints(from: OldestWire.self)

  /// From version to version by their types, so that what is done with each request is compiled for its
  /// version: calls through witness tables took a tenth of the throughput.
  private static func endpoints<Version: WireVersion>(from _: Version.Type) -> [Endpoint] {
    let own = Version.Method.allCases.map { Endpoint(of: Version.self, $0) }
    return Version.isNewest ? own : own + endpoints(from: Version.Next.self)
  }

  private init<Version: WireVersion>(of _: Version.Type, _ method: Version.Method) {
    path = Version.path(of: method)
    self.method = method.rawValue
    isOfHolder = ["Renew", "RenewMany", "Release"].contains(method.rawValue)
    version = Version.number
    read = { (body, codec) throws(WireError) in
      try Version.liftToNewest(Version.Request(method, body, codec))
    }
    write = { (response, codec) throws(WireError) in
      try Version.projectFromNewest(response).encoded(codec)
    }
    project = { Version.projectFromNewest($0) }
  }

  /// An error of the service as a peer of this version is to see it.
  func refusal(_ error: WireError) -> RPCError { RPCError(project(error)) }

  // MARK: - The way of a call

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
  func begin(_ read: ReadRequest, _ context: CallContext) throws(RPCError) {
    let store = context.connection.loop.store
    context.account.key = read.work.key
    switch try permitted(read.work, context) {
    case .command(let command):
      let answerBytesMax = Locks.answerBytesMax(of: command, read.request.codec)
      let share = try context.connection.share(of: \.renewals, ofAnswer: answerBytesMax)
      let call = UnaryCall(.command(command), self, context, read.request, share: share)
      store.submit(command, deadline: call.deadline, call: call)
    case .get(let key):
      let call = UnaryCall(.get(key: key), self, context, read.request)
      store.ask(.fetch(key: key), deadline: call.deadline, call: call)
    case .list(var range):
      // What v1 promises of FetchAll; later versions promise less, so that no list holds up the
      // store's log.
      range.isOfOneMoment = version == V1.number
      let share = context.connection.answerBudget(\.lists).share()
      let list = ResourceList(of: self, codec: read.request.codec, share: share)
      let call = UnaryCall(.list(list), self, context, read.request, share: share)
      store.ask(
        .list(range, into: list), from: ObjectIdentifier(context.connection),
        deadline: call.deadline, call: call)
    }
  }

  private func permitted(_ work: Locks.Work, _ context: CallContext) throws(RPCError) -> Locks.Work
  {
    do throws(WireError) {
      return try work.permitted(to: context.asker, from: context.account.origin)
    } catch {
      throw refusal(error)
    }
  }

  /// Writes an answer, or what it is in this version that there is none.
  func written(
    _ answer: () throws(WireError) -> NewestWire.Response, _ codec: Codec
  ) throws(RPCError) -> [UInt8] {
    do throws(WireError) {
      return try write(try answer(), codec)
    } catch {
      throw refusal(error)
    }
  }
}
