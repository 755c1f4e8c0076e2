import SwiftProtobuf
import Testing
import WireSchema

/// A version before another one, made up: it counts leases from 0, takes locks for presences, and puts a
/// dot behind each word.
private enum Before<Next: WireVersion>: OlderWireVersion
where Next.Method == V1.Method, Next.Request == V1.Request, Next.Response == V1.Response {
  typealias Method = V1.Method
  typealias Request = V1.Request
  typealias Response = V1.Response

  static var number: UInt32 { Next.number + 1 }
  static var detailTypes: [any Message.Type] { [] }

  static func lift(_ request: Request) throws(WireError) -> Request {
    guard case .lock(let message) = request else { return request }
    var lifted = Latchkey_V1_LockRequest()
    lifted.resource = copy(message.resource)
    lifted.ttlInSeconds = message.ttlInSeconds + 1
    return .lock(lifted)
  }

  static func project(_ response: Response) throws(WireError) -> Response {
    guard case .fetch(let message) = response else { return response }
    var projected = Latchkey_V1_FetchResponse()
    var resource = copy(message.resource)
    resource.typeCode = resource.typeCode == .lock ? .presence : .lock
    projected.resource = resource
    return .fetch(projected)
  }

  /// Field by field, as from one type to another.
  private static func copy(_ resource: Latchkey_V1_Resource) -> Latchkey_V1_Resource {
    var copy = Latchkey_V1_Resource()
    copy.key = resource.key
    copy.owner = resource.owner
    copy.value = resource.value
    copy.type = resource.type
    copy.typeCode = resource.typeCode
    return copy
  }

  static func project(_ error: WireError) -> WireError {
    WireError(error.code, error.word + ".", error.explanation)
  }

  static func lower(_ request: Request) throws(Inexpressible) -> Request {
    guard case .lock(var message) = request else { return request }
    message.ttlInSeconds -= 1
    return .lock(message)
  }

  static func raise(_ response: Response, of request: Request) throws(Inexpressible) -> Response {
    try! project(response)
  }

  static func raise(_ error: WireError) -> WireError {
    WireError(error.code, String(error.word.dropLast()), error.explanation)
  }
}

private typealias Before5<Next: WireVersion> = Before<Before<Before<Before<Before<Next>>>>>
where Next.Method == V1.Method, Next.Request == V1.Request, Next.Response == V1.Response
private typealias TwentyBefore = Before5<Before5<Before5<Before5<V1>>>>

/// A version that is twenty-one versions old.
@Suite("A chain of lenses")
struct LensChainTests {
  private static let request = V1.Request.lock(
    .with {
      $0.resource = .with {
        $0.key = "jobs/nightly-report"
        $0.owner = "host-17/4711/8f3a9c"
        $0.value = "10.0.0.7:8080"
        $0.typeCode = .lock
      }
      $0.ttlInSeconds = 15
    })

  private static let answer = NewestWire.Response.get(
    .with {
      $0.resource = .with {
        $0.key = "jobs/nightly-report"
        $0.kind = .lock
      }
    })

  @Test("every step is taken, each way")
  func steps() throws {
    #expect(TwentyBefore.number == 21)
    guard case .acquire(let lifted) = try TwentyBefore.liftToNewest(Self.request) else {
      Issue.record("a Lock is no Acquire")
      return
    }
    #expect(lifted.lease.seconds == 35 && lifted.key == "jobs/nightly-report")
    guard case .lock(let lowered) = try TwentyBefore.lowerFromNewest(.acquire(lifted)) else {
      Issue.record("an Acquire is no Lock")
      return
    }
    #expect(lowered.ttlInSeconds == 15)
    let error = TwentyBefore.projectFromNewest(WireError(.notFound, "not-held"))
    #expect(error.word == "resource-not-found" + String(repeating: ".", count: 20))
    #expect(TwentyBefore.raiseToNewest(error).word == "not-held")
    let twice = try TwentyBefore.raiseToNewest(
      TwentyBefore.projectFromNewest(Self.answer), of: .get(.with { $0.key = "k" }))
    #expect(twice == Self.answer)
    let once: Before<V1>.Response = try Before<V1>.projectFromNewest(Self.answer)
    guard case .fetch(let fetched) = once else {
      Issue.record("a Get is no Fetch")
      return
    }
    #expect(fetched.resource.typeCode == .presence)
  }

  /// Figures to read, in a release build: `swift test -c release -Xswiftc -enable-testing --filter
  /// LensChainTests`.
  @Test("what the chain costs a request")
  func cost() throws {
    let fetch = V1.Request.fetch(.with { $0.key = "jobs/nightly-report" })
    let granted = NewestWire.Response.acquire(
      .with {
        $0.grant = .with {
          $0.key = "jobs/nightly-report"
          $0.owner = "host-17/4711/8f3a9c"
          $0.token = 7
        }
      })
    for (call, request, answer) in [
      ("Lock", Self.request, granted), ("Fetch", fetch, Self.answer),
    ] {
      let one = try nanoseconds(V1.self, request, answer)
      let all = try nanoseconds(TwentyBefore.self, request, answer)
      print("\(call) and its answer: v1 alone \(one) ns, through 20 more versions \(all) ns")
    }
  }

  /// What it takes to bring a request to the newest version and its answer back, on average.
  private func nanoseconds<Version: WireVersion>(
    _: Version.Type, _ request: V1.Request, _ answer: NewestWire.Response
  ) throws -> Int64 where Version.Request == V1.Request, Version.Response == V1.Response {
    let rounds = 20_000
    var done = 0
    let time = try ContinuousClock().measure {
      for _ in 0..<rounds {
        let lifted = try Version.liftToNewest(request)
        let projected = try Version.projectFromNewest(answer)
        // Looks at both, so that the work is not optimised away.
        if case .get = lifted, case .fetch = projected { done += 1 }
        if case .acquire = lifted, case .lock = projected { done += 1 }
      }
    }
    #expect(done == rounds)
    return time.components.attoseconds / 1_000_000_000 / Int64(rounds)
  }
}
