import LockContent
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

/// The laws of the lens between wire v2 and v3, on generated messages.
///
/// What is the same in both has the same numbers in both, so a message's own bytes, read as the other
/// version's, say what the lens has to bring about. What differs is named in each test.
@Suite("Laws of the lens v2-v3")
struct LensLawV3Tests {
  private static let seeds: ClosedRange<UInt64> = 1...50
  private static let rounds = 40

  // MARK: - Of a peer that speaks v2

  @Test("lift(o) is what o's bytes are in v3, and lower(lift(o)) == o", arguments: seeds)
  func requests(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let request = messages.v2Request()
      let lifted = try V2.lift(request)
      #expect(lifted == Self.lifted(try Self.asV3(request)), "seed \(seed)")
      // A lease in whole seconds comes back as it was.
      if Self.lease(of: lifted) == Self.lease(of: try Self.asV3(request)) {
        #expect(try V2.lower(lifted) == request, "seed \(seed)")
      }
    }
  }

  @Test("an answer is what its bytes are in the other version, both ways", arguments: seeds)
  func answers(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let answer = messages.v2Response()
      var raised = try V2.raise(answer, of: .get(.init()))
      #expect(try V2.project(raised) == answer, "seed \(seed)")
      // The text of an object is its attributes as well.
      switch raised {
      case .get(var message):
        Self.expectAttributes(of: &message.resource)
        raised = .get(message)
      case .list(var message):
        for index in message.resources.indices {
          Self.expectAttributes(of: &message.resources[index])
        }
        raised = .list(message)
      default: break
      }
      #expect(raised == (try Self.asV3(answer)), "seed \(seed)")
    }
  }

  private static func expectAttributes(of resource: inout Latchkey_V3_Resource) {
    let attributes = Attributes(exactly: resource.value)
    #expect(resource.hasAttributes == (attributes != nil))
    #expect(!resource.hasAttributes || Attributes(resource.attributes) == attributes)
    resource.clearAttributes()
  }

  @Test("a resource of v3 is projected field by field", arguments: seeds)
  func resources(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let resource = messages.v3Resource()
      guard case .get(let projected) = try V2.project(.get(.with { $0.resource = resource })) else {
        Issue.record("a Get is no Get")
        return
      }
      var bytes = try Latchkey_V2_Resource(serializedBytes: resource.serializedBytes() as [UInt8])
      bytes.unknownFields = .init()
      #expect(projected.resource == bytes, "seed \(seed)")
      // An older peer that changes nothing loses nothing that it was shown.
      guard case .get(let raised) = try V2.raise(.get(projected), of: .get(.init())) else {
        Issue.record("a Get is no Get")
        return
      }
      #expect(raised.resource.value == resource.value)
      #expect(raised.resource.hasAttributes == resource.hasAttributes)
      #expect(
        Attributes(raised.resource.attributes) == Attributes(resource.attributes), "seed \(seed)")
    }
  }

  @Test("a refusal is the same in both", arguments: seeds)
  func refusals(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let refusal = messages.refusal()
      let error = WireError(.alreadyExists, "held-by-another", "x", details: [refusal])
      let raised = V2.raise(error)
      let detail = try #require(raised.details.first as? Latchkey_V3_Refusal)
      #expect(
        try detail == Latchkey_V3_Refusal(serializedBytes: refusal.serializedBytes() as [UInt8]))
      let projected = V2.project(raised)
      #expect(projected.details.first as? Latchkey_V2_Refusal == refusal)
      #expect((projected.code, projected.word) == (error.code, error.word))
      #expect(projected.explanation == "x" && projected.details.count == 1)
    }
  }

  @Test(
    "a lease of v2 is granted in whole seconds, and what is no length is left for the check",
    arguments: [
      (0, 1, 1, 0), (15, 1_000_000, 16, 0), (15, 0, 15, 0),
      (31_535_999, 999_999_999, 31_536_000, 0),
      (0, 0, 0, 0), (-1, 1, -1, 1), (1, -1, 1, -1), (1, 1_000_000_000, 1, 1_000_000_000),
      (.max, 1, .max, 1),
    ] as [(Int64, Int32, Int64, Int32)])
  func leases(_ seconds: Int64, _ nanos: Int32, _ liftedSeconds: Int64, _ liftedNanos: Int32) throws
  {
    let lease = Google_Protobuf_Duration(seconds: seconds, nanos: nanos)
    let lifted = Google_Protobuf_Duration(seconds: liftedSeconds, nanos: liftedNanos)
    let acquire = try V2.lift(.acquire(.with { $0.lease = lease }))
    let renew = try V2.lift(.renew(.with { $0.lease = lease }))
    #expect(Self.lease(of: acquire) == lifted && Self.lease(of: renew) == lifted)
  }

  // MARK: - For a peer that speaks v2

  @Test("lift(lower(n)) == n but for attributes as text, or n is refused by name", arguments: seeds)
  func newerRequests(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let request = messages.v3Request()
      let lowered: V2.Request
      do throws(Inexpressible) {
        lowered = try V2.lower(request)
      } catch {
        #expect(
          error.needs == 3 && Self.missing(in: request).contains(error.feature), "seed \(seed)")
        continue
      }
      #expect(Self.missing(in: request).isEmpty, "seed \(seed): \(request)")
      #expect(try V2.lift(lowered) == Self.withTexts(request), "seed \(seed)")
    }
  }

  @Test("attributes that no JSON has are refused, not made up")
  func attributesWithoutText() {
    let message = Google_Protobuf_Struct(fields: ["a": .init(numberValue: .nan)])
    let acquire = V3.Request.acquire(.with { $0.attributes = message })
    let renew = V3.Request.renew(.with { $0.attributes = message })
    for request in [acquire, renew] {
      #expect(throws: Inexpressible("attributes that JSON has not", needs: 3)) {
        try V2.lower(request)
      }
    }
  }

  /// What v2 cannot carry.
  private static func missing(in request: V3.Request) -> Set<String> {
    var missing: Set<String> = []
    switch request {
    case .acquire(let message):
      if message.content == nil { missing.insert("a claim that leaves the value as it is") }
      if !message.labels.isEmpty { missing.insert("labels") }
      if message.hasGrantedAt { missing.insert("a stated time of the grant") }
    case .renew(let message):
      if !message.labels.isEmpty { missing.insert("labels") }
      if message.hasGrantedAt { missing.insert("a stated time of the grant") }
    case .renewMany(let message):
      for renewal in message.renewals { missing.formUnion(Self.missing(in: .renew(renewal))) }
    case .list(let message):
      if !message.attributes.fields.isEmpty { missing.insert("list by attributes") }
      if !message.labels.isEmpty { missing.insert("list by labels") }
    case .release, .get: break
    }
    return missing
  }

  /// The request with attributes as the text that they are.
  private static func withTexts(_ request: V3.Request) -> V3.Request {
    func renewal(_ message: Latchkey_V3_RenewRequest) -> Latchkey_V3_RenewRequest {
      var message = message
      if case .attributes(let attributes) = message.content {
        message.value = Attributes(attributes).json
      }
      return message
    }
    switch request {
    case .acquire(var message):
      if case .attributes(let attributes) = message.content {
        message.value = Attributes(attributes).json
      }
      return .acquire(message)
    case .renew(let message): return .renew(renewal(message))
    case .renewMany(var message):
      message.renewals = message.renewals.map(renewal)
      return .renewMany(message)
    case .list(var message):
      message.clearAttributes()
      return .list(message)
    case .release, .get: return request
    }
  }

  // MARK: - By their bytes

  private static func asV3(_ request: V2.Request) throws -> V3.Request {
    try V3.Request(
      V3.Method(rawValue: request.method.rawValue)!, request.encoded(.proto), .proto)
  }

  private static func asV3(_ response: V2.Response) throws -> V3.Response {
    let method: V3.Method =
      switch response {
      case .acquire: .acquire
      case .renew: .renew
      case .renewMany: .renewMany
      case .release: .release
      case .get: .get
      case .list: .list
      }
    return try V3.Response(method, response.encoded(.proto), .proto)
  }

  /// With what v2 says without saying it: the value, and the next whole second.
  private static func lifted(_ request: V3.Request) -> V3.Request {
    switch request {
    case .acquire(var message):
      if message.content == nil { message.value = "" }
      if message.lease.nanos > 0 {
        message.lease = Google_Protobuf_Duration(seconds: message.lease.seconds + 1)
      }
      return .acquire(message)
    default: return request
    }
  }

  private static func lease(of request: V3.Request) -> Google_Protobuf_Duration? {
    switch request {
    case .acquire(let message): message.lease
    case .renew(let message): message.lease
    default: nil
    }
  }
}
