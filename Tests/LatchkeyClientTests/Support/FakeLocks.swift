import LatchkeyClient
import SwiftProtobuf
import Exclusion
import WireSchema

typealias SwiftProtobufMessage = SwiftProtobuf.Message

/// The rules of the service without leases that end, in every wire version: what a script answers
/// with. It never waits: a request that would is refused at once.
final class FakeLocks: Sendable {
  private struct State {
    var held: [String: NewestWire.Resource] = [:]
    var tokens: [String: Int64] = [:]

    /// A new grant.
    mutating func grant(_ key: String, _ resource: NewestWire.Resource) -> NewestWire.Resource {
      tokens[key, default: 0] += 1
      held[key] = resource
      held[key]!.token = tokens[key]!
      return held[key]!
    }
  }

  private let state = Mutex(State())

  /// Who holds the key.
  func owner(of key: String) -> String? { state.withLock { $0.held[key]?.owner } }
  func kind(of key: String) -> NewestWire.Kind? { state.withLock { $0.held[key]?.kind } }

  /// Gives the key to `owner`, whoever has it; to nobody where it is nil.
  func give(_ key: String, to owner: String?) {
    state.withLock { state in
      guard let owner else {
        state.held[key] = nil
        return
      }
      let resource = NewestWire.Resource.with {
        $0.key = key
        $0.owner = owner
        $0.kind = .lock
      }
      _ = state.grant(key, resource)
    }
  }

  func answer(_ request: FakeRequest) -> FakeAnswer {
    guard let number = request.version,
      let version = WireVersions.all.first(where: { $0.number == number })
    else { return .error(RPCError(.unimplemented, "no such call: \(request.path)")) }
    do throws(WireError) {
      return .reply(
        body: try version.answer(request) { request throws(WireError) in try execute(request) })
    } catch {
      return .error(RPCError(version.projectFromNewest(error)))
    }
  }

  private func execute(_ request: NewestWire.Request) throws(WireError) -> NewestWire.Response {
    try state.withLock { state throws(WireError) in
      switch request {
      case .acquire(let request): return .acquire(try Self.acquire(request, &state))
      case .renew(let request):
        guard let held = state.held[request.key], held.token == request.token else {
          throw Self.refusal("not-the-holder", of: request.key, state)
        }
        return .renew(.with { $0.grant = Self.grant(held) })
      case .renewMany: throw WireError(.internal, "not played here")
      case .release(let request):
        if let held = state.held[request.key] {
          guard request.token == 0 || request.token == held.token,
            request.owner.isEmpty || request.owner == held.owner
          else { throw Self.refusal("not-the-holder", of: request.key, state) }
          state.held[request.key] = nil
        }
        return .release(NewestWire.ReleaseResponse())
      case .get(let request):
        guard let held = state.held[request.key] else { throw WireError(.notFound, "not-held") }
        return .get(.with { $0.resource = held })
      case .list:
        let all = state.held.values.sorted { $0.key < $1.key }
        return .list(.with { $0.resources = all })
      }
    }
  }

  private static func acquire(
    _ request: NewestWire.AcquireRequest, _ state: inout State
  ) throws(WireError) -> NewestWire.AcquireResponse {
    let resource = NewestWire.Resource.with {
      $0.key = request.key
      $0.kind = request.kind
      $0.owner = request.owner
      $0.value = request.value
    }
    if let held = state.held[request.key] {
      guard held.owner == request.owner else {
        throw refusal("held-by-another", of: request.key, state)
      }
      return .with {
        $0.grant = grant(held)
        $0.renewed = true
      }
    }
    let granted = state.grant(request.key, resource)
    return .with { $0.grant = grant(granted) }
  }

  private static func grant(_ resource: NewestWire.Resource) -> NewestWire.Grant {
    .with {
      $0.key = resource.key
      $0.owner = resource.owner
      $0.token = resource.token
    }
  }

  private static func refusal(_ word: String, of key: String, _ state: State) -> WireError {
    let refusal = NewestWire.Refusal.with {
      $0.reason = word
      $0.key = key
      $0.owner = state.held[key]?.owner ?? ""
    }
    return WireError(
      word == "held-by-another" ? .alreadyExists : .failedPrecondition, word, details: [refusal])
  }
}

extension WireVersion {
  /// What a server of this version answers.
  fileprivate static func answer(
    _ request: FakeRequest,
    _ execute: (NewestWire.Request) throws(WireError) -> NewestWire.Response
  ) throws(WireError) -> [UInt8] {
    guard let method = Method(rawValue: request.method) else {
      throw WireError(.internal, "no such call")
    }
    let lifted = try liftToNewest(Request(method, request.body, .proto))
    return try projectFromNewest(try execute(lifted)).encoded(.proto)
  }
}
