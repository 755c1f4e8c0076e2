import LockContent
import SwiftProtobuf
import TestKit
import WireSchema

/// Messages at random, all of them valid, in a small space so that cases meet.
struct MessageGenerator {
  private var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  mutating func number(_ range: ClosedRange<Int64>) -> Int64 { .random(in: range, using: &random) }

  mutating func text(_ length: ClosedRange<Int64>) -> String {
    let alphabet: [Character] = ["a", "b", "/", "é", "\u{301}", "🔑", "\u{10FFFF}"]
    return String((0..<number(length)).map { _ in alphabet.randomElement(using: &random)! })
  }

  private mutating func flip() -> Bool { Bool.random(using: &random) }

  // MARK: - v1

  /// The type as a client may give it: by name, by number, or both.
  private mutating func type() -> (String, Latchkey_V1_TypeCode) {
    let isLock = flip()
    let name = isLock ? "lock" : "presence"
    let code: Latchkey_V1_TypeCode = isLock ? .lock : .presence
    switch number(0...2) {
    case 0: return (name, .unknown)
    case 1: return ("", code)
    default: return (name, code)
    }
  }

  private mutating func v1Resource() -> Latchkey_V1_Resource {
    var resource = Latchkey_V1_Resource()
    resource.key = text(1...3)
    resource.owner = text(1...3)
    resource.value = text(0...3)
    (resource.type, resource.typeCode) = type()
    return resource
  }

  mutating func v1Request() -> V1.Request {
    switch number(0...3) {
    case 0:
      var message = Latchkey_V1_LockRequest()
      message.resource = v1Resource()
      message.ttlInSeconds = flip() ? number(1...3) : number(1...31_536_000)
      return .lock(message)
    case 1:
      var message = Latchkey_V1_ReleaseRequest()
      message.resource = v1Resource()
      return .release(message)
    case 2:
      var message = Latchkey_V1_FetchRequest()
      message.key = text(1...3)
      return .fetch(message)
    default:
      var message = Latchkey_V1_FetchAllRequest()
      (message.type, message.typeCode) = type()
      return .fetchAll(message)
    }
  }

  /// An answer as servers of v1 give it, and what a newer client asked for.
  mutating func v1Exchange() -> (V1.Response, V2.Request) {
    func full(_ resource: Latchkey_V1_Resource) -> Latchkey_V1_Resource {
      var resource = resource
      let isLock = resource.type == "lock" || resource.typeCode == .lock
      resource.type = isLock ? "lock" : "presence"
      resource.typeCode = isLock ? .lock : .presence
      return resource
    }
    switch number(0...3) {
    case 0: return (.lock(.init()), .acquire(acquire()))
    case 1: return (.release(.init()), .release(.init()))
    case 2:
      let resource = full(v1Resource())
      return (.fetch(.with { $0.resource = resource }), .get(.with { $0.key = resource.key }))
    default:
      let resources = (0..<number(0...5)).map { _ in full(v1Resource()) }
      return (.fetchAll(.with { $0.resources = resources }), .list(.with { $0.kind = .lock }))
    }
  }

  // MARK: - v2

  mutating func resource() -> Latchkey_V2_Resource {
    var resource = Latchkey_V2_Resource()
    resource.key = text(1...3)
    resource.kind = flip() ? .lock : .presence
    resource.owner = text(1...3)
    resource.value = text(0...3)
    resource.token = number(1...5)
    resource.revision = number(1...9)
    resource.lease = Google_Protobuf_Duration(seconds: number(1...100))
    return resource
  }

  /// Each of another key.
  mutating func resources() -> [Latchkey_V2_Resource] {
    var keys = Set<[UInt8]>()
    return (0..<number(0...12)).map { _ in resource() }
      .filter { keys.insert(Array($0.key.utf8)).inserted }
  }

  private mutating func acquire() -> Latchkey_V2_AcquireRequest {
    var message = Latchkey_V2_AcquireRequest()
    message.key = text(1...3)
    message.kind = [.unspecified, .lock, .presence].randomElement(using: &random)!
    message.owner = text(1...3)
    message.value = text(0...3)
    message.lease = Google_Protobuf_Duration(
      seconds: number(0...3), nanos: Int32(number(1...999)) * 1_000_000)
    if flip() { message.lease = Google_Protobuf_Duration(seconds: number(1...31_536_000)) }
    if flip() { message.wait = Google_Protobuf_Duration(seconds: number(0...3_600)) }
    message.requestID = text(0...3)
    return message
  }

  private mutating func renew() -> Latchkey_V2_RenewRequest {
    var message = Latchkey_V2_RenewRequest()
    message.key = text(1...3)
    message.token = number(1...5)
    return message
  }

  mutating func v2Request() -> V2.Request {
    switch number(0...6) {
    case 0, 1: return .acquire(acquire())
    case 2: return .renew(renew())
    case 3:
      let renewals = (0..<number(1...3)).map { _ in renew() }
      return .renewMany(.with { $0.renewals = renewals })
    case 4:
      var message = Latchkey_V2_ReleaseRequest()
      message.key = text(1...3)
      message.token = number(0...1)
      message.owner = text((message.token == 0 ? 1 : 0)...3)
      return .release(message)
    case 5:
      let key = text(1...3)
      return .get(.with { $0.key = key })
    default:
      var message = Latchkey_V2_ListRequest()
      message.kind = [.unspecified, .lock, .presence].randomElement(using: &random)!
      message.keyPrefix = text(0...2)
      message.afterKey = text(0...2)
      message.pageSize = Int32(number(0...3))
      return .list(message)
    }
  }

  mutating func v2Response() -> V2.Response {
    switch number(0...5) {
    case 0:
      return .acquire(
        .with {
          $0.grant = grant()
          $0.renewed = flip()
        })
    case 1: return .renew(.with { $0.grant = grant() })
    case 2: return .renewMany(.with { $0.verdicts = (0..<number(1...3)).map { _ in verdict() } })
    case 3: return .release(Latchkey_V2_ReleaseResponse())
    case 4: return .get(.with { $0.resource = resource() })
    default:
      return .list(
        .with {
          $0.resources = resources()
          $0.more = flip()
        })
    }
  }

  private mutating func verdict() -> Latchkey_V2_RenewVerdict {
    flip() ? .with { $0.grant = grant() } : .with { $0.refusal = refusal() }
  }

  private mutating func grant() -> Latchkey_V2_Grant {
    var grant = Latchkey_V2_Grant()
    grant.key = text(1...3)
    grant.owner = text(1...3)
    grant.token = number(1...5)
    grant.revision = number(1...9)
    grant.lease = Google_Protobuf_Duration(seconds: number(1...100))
    return grant
  }

  mutating func refusal() -> Latchkey_V2_Refusal {
    var refusal = Latchkey_V2_Refusal()
    refusal.reason = text(1...3)
    refusal.key = text(1...3)
    refusal.owner = text(0...3)
    refusal.kind = flip() ? .lock : .presence
    refusal.token = number(1...5)
    refusal.revision = number(1...9)
    if flip() { refusal.leaseLeft = Google_Protobuf_Duration(seconds: number(0...100)) }
    refusal.retry = [.unspecified, .whenFree, .withAcquire, .atNewerServer, .later]
      .randomElement(using: &random)!
    return refusal
  }

  // MARK: - v3

  private mutating func labels() -> [String: String] {
    flip() ? [:] : [text(1...2): text(0...2)]
  }

  mutating func attributes() -> Attributes { .random(using: &random) }

  mutating func v3Resource() -> Latchkey_V3_Resource {
    var resource = Latchkey_V3_Resource()
    resource.key = text(1...3)
    resource.kind = flip() ? .lock : .presence
    resource.owner = text(1...3)
    if flip() {
      let attributes = attributes()
      resource.value = attributes.json
      resource.attributes = attributes.message
    } else {
      resource.value = text(0...3)
    }
    resource.token = number(1...5)
    resource.revision = number(1...9)
    resource.lease = Google_Protobuf_Duration(seconds: number(1...100), nanos: 250_000_000)
    resource.labels = labels()
    if flip() { resource.grantedAt = Google_Protobuf_Timestamp(seconds: number(0...100)) }
    return resource
  }

  private mutating func v3Renewal() -> Latchkey_V3_RenewRequest {
    var message = Latchkey_V3_RenewRequest()
    message.key = text(1...3)
    message.token = number(1...5)
    if flip() { message.lease = Google_Protobuf_Duration(seconds: number(1...100)) }
    switch number(0...2) {
    case 0: message.value = text(0...3)
    case 1: message.attributes = attributes().message
    default: break
    }
    message.labels = labels()
    if number(0...5) == 0 { message.grantedAt = Google_Protobuf_Timestamp(seconds: 1) }
    return message
  }

  mutating func v3Request() -> V3.Request {
    switch number(0...5) {
    case 0, 1:
      var message = Latchkey_V3_AcquireRequest()
      message.key = text(1...3)
      message.kind = [.unspecified, .lock, .presence].randomElement(using: &random)!
      message.owner = text(1...3)
      switch number(0...2) {
      case 0: message.value = text(0...3)
      case 1: message.attributes = attributes().message
      default: break
      }
      message.lease = Google_Protobuf_Duration(seconds: number(1...100))
      if flip() { message.wait = Google_Protobuf_Duration(seconds: number(0...3_600)) }
      message.requestID = text(0...3)
      message.labels = labels()
      if number(0...5) == 0 { message.grantedAt = Google_Protobuf_Timestamp(seconds: 1) }
      return .acquire(message)
    case 2: return .renew(v3Renewal())
    case 3:
      let renewals = (0..<number(1...3)).map { _ in v3Renewal() }
      return .renewMany(.with { $0.renewals = renewals })
    case 4:
      let (key, token) = (text(1...3), number(0...5))
      return .release(
        .with {
          $0.key = key
          $0.token = token
        })
    default:
      var message = Latchkey_V3_ListRequest()
      message.kind = [.unspecified, .lock, .presence].randomElement(using: &random)!
      message.keyPrefix = text(0...2)
      message.afterKey = text(0...2)
      message.pageSize = Int32(number(0...3))
      if flip() { message.attributes = attributes().message }
      message.labels = labels()
      return .list(message)
    }
  }
}
