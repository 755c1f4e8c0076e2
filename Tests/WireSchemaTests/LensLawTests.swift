import SwiftProtobuf
import TestKit
import Testing
import WireSchema

/// The laws of the lens between wire v1 and v2, on generated messages.
///
/// What an older view cannot express is named in each test: everything else has to come back.
@Suite("Laws of the lens v1-v2")
struct LensLawTests {
  private static let seeds: ClosedRange<UInt64> = 1...50
  private static let rounds = 40

  // MARK: - Of a peer that speaks v1

  @Test("lower(lift(o)) == o: a request of v1 says the same in v2", arguments: seeds)
  func requestsComeBack(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let request = messages.v1Request()
      #expect(try V1.lower(V1.lift(request)) == Self.normal(request), "seed \(seed)")
    }
  }

  @Test("project(raise(o)) == o: an answer of v1 says the same in v2", arguments: seeds)
  func answersComeBack(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let (answer, request) = messages.v1Exchange()
      #expect(try V1.project(V1.raise(answer, of: request)) == answer, "seed \(seed)")
    }
  }

  @Test("an answer is projected field by field", arguments: seeds)
  func projections(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let resources = messages.resources()
      let page = Latchkey_V2_ListResponse.with { $0.resources = resources }
      guard case .fetchAll(let list) = try V1.project(.list(page)) else {
        Issue.record("a list is no FetchAll")
        return
      }
      #expect(list.resources.count == resources.count)
      for (older, newer) in zip(list.resources, resources) {
        #expect((older.key, older.owner, older.value) == (newer.key, newer.owner, newer.value))
        let name = newer.kind == .presence ? "presence" : "lock"
        #expect(older.type == name && older.typeCode == (name == "lock" ? .lock : .presence))
      }
    }
  }

  @Test("a list that is cut off is an error in v1, never a shorter list")
  func longLists() {
    let page = Latchkey_V2_ListResponse.with { $0.more = true }
    let error = #expect(throws: WireError.self) { try V1.project(.list(page)) }
    #expect(error?.code == .resourceExhausted)
  }

  // MARK: - For a peer that speaks v1

  @Test("servers of v1 do not wait")
  func waiting() {
    #expect(!V1.canWait && V2.canWait)
  }

  /// What v1 lacks: tokens, revisions, whether it was a renewal, less than seconds, the wait and the
  /// name of the request, and pages.
  @Test("lift(lower(n)) == n but for what is named, or n is refused by name", arguments: seeds)
  func newerRequestsComeBack(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let request = messages.v2Request()
      let lowered: V1.Request
      do throws(Inexpressible) {
        lowered = try V1.lower(request)
      } catch {
        #expect(error.needs == 2 && error == Self.missing(in: request), "seed \(seed)")
        continue
      }
      #expect(Self.missing(in: request) == nil, "seed \(seed): \(request)")
      let back = try V1.lift(lowered)
      switch (request, back) {
      case (.acquire(var wanted), .acquire(let got)):
        #expect(Self.nanoseconds(got.lease) >= Self.nanoseconds(wanted.lease))
        #expect(Self.nanoseconds(got.lease) < Self.nanoseconds(wanted.lease) + 1_000_000_000)
        #expect(got.lease.nanos == 0)
        wanted.lease = got.lease
        wanted.clearWait()
        wanted.requestID = ""
        // Not said is a lock.
        if wanted.kind == .unspecified { wanted.kind = .lock }
        #expect(got == wanted, "seed \(seed)")
      case (.list(let wanted), .list(let got)):
        #expect(got.kind == wanted.kind && got.pageSize == .max)
        #expect(got.keyPrefix.isEmpty && got.afterKey.isEmpty)
      default: #expect(back == request, "seed \(seed)")
      }
    }
  }

  @Test("a kind that there is not is not made a lock")
  func unknownKinds() {
    let acquire = V2.Request.acquire(.with { $0.kind = .UNRECOGNIZED(7) })
    let list = V2.Request.list(.with { $0.kind = .UNRECOGNIZED(7) })
    for request in [acquire, list] {
      #expect(throws: Inexpressible("kind 7", needs: 2)) { try V1.lower(request) }
    }
  }

  @Test("a page of a size that there is not is one of the usual size")
  func negativePageSize() throws {
    let whole = V1.Response.fetchAll(.with { $0.resources = [.with { $0.typeCode = .lock }] })
    guard
      case .list(let page) = try V1.raise(
        whole, of: .list(.with { $0.pageSize = -1 }))
    else {
      Issue.record("a FetchAll is no list")
      return
    }
    #expect(page.resources.count == 1)
  }

  /// What v1 cannot carry, if anything.
  private static func missing(in request: V2.Request) -> Inexpressible? {
    switch request {
    case .renew: Inexpressible("renewal by token", needs: 2)
    case .renewMany: Inexpressible("renewal of several locks at once", needs: 2)
    case .release(let message) where message.token != 0:
      Inexpressible("release by token", needs: 2)
    case .list(let message) where message.kind == .unspecified:
      Inexpressible("list of every kind", needs: 2)
    default: nil
    }
  }

  @Test("raise(project(n)) == n but for tokens, revisions and leases", arguments: seeds)
  func newerAnswersComeBack(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let resource = messages.resource()
      let get = V2.Request.get(.with { $0.key = resource.key })
      let answer = V2.Response.get(.with { $0.resource = resource })
      #expect(
        try V1.raise(V1.project(answer), of: get)
          == .get(.with { $0.resource = Self.seenThroughV1(resource) }), "seed \(seed)")
    }
  }

  @Test("pages are cut from a whole list as a server of v2 cuts them", arguments: seeds)
  func pages(seed: UInt64) throws {
    var messages = MessageGenerator(seed: seed)
    let all = messages.resources().map(Self.seenThroughV1)
      .sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    let whole = try V1.project(.list(.with { $0.resources = all }))
    let prefix = messages.text(0...1)
    let size = Int32(messages.number(1...4))
    var found: [Latchkey_V2_Resource] = []
    // One page too many, so that pages without an end are noticed.
    for _ in 0...all.count {
      let request = Latchkey_V2_ListRequest.with {
        $0.kind = .lock
        $0.keyPrefix = prefix
        $0.afterKey = found.last?.key ?? ""
        $0.pageSize = size
      }
      guard case .list(let page) = try V1.raise(whole, of: .list(request)) else {
        Issue.record("a FetchAll is no list")
        return
      }
      #expect(page.resources.count <= size && (!page.more || page.resources.count == size))
      found += page.resources
      if !page.more { break }
    }
    #expect(
      found == all.filter { Array($0.key.utf8).starts(with: Array(prefix.utf8)) }, "seed \(seed)")
  }

  @Test("a page has 1,000 resources where nothing else is said")
  func defaultPage() throws {
    let whole = V1.Response.fetchAll(
      .with {
        $0.resources = (0..<1_001).map { number in .with { $0.key = "\(number)" } }
      })
    guard case .list(let page) = try V1.raise(whole, of: .list(.with { $0.kind = .lock })) else {
      Issue.record("a FetchAll is no list")
      return
    }
    #expect(page.resources.count == V2.pageSizeDefault && page.more)
  }

  @Test("a grant by a server of v1 is what was asked for, in whole seconds, without a token")
  func grants() throws {
    let request = Latchkey_V2_AcquireRequest.with {
      ($0.key, $0.owner) = ("k", "me")
      $0.lease = Google_Protobuf_Duration(seconds: 4, nanos: 1_000_000)
    }
    let answer = try V1.raise(.lock(Latchkey_V1_LockResponse()), of: .acquire(request))
    #expect(
      answer
        == .acquire(
          .with {
            $0.grant = .with {
              ($0.key, $0.owner) = ("k", "me")
              $0.lease = Google_Protobuf_Duration(seconds: 5)
            }
          }))
  }

  // MARK: - Errors

  @Test(
    "project(raise(e)) == e: an error of v1 says the same in v2",
    arguments: [
      (WireError.Code.alreadyExists, "lock-collision"), (.notFound, "resource-not-found"),
      (.failedPrecondition, "needs-newer-server"), (.invalidArgument, "invalid-owner"),
      (.invalidArgument, "invalid-key"), (.invalidArgument, "invalid-value"),
      (.invalidArgument, "invalid-resource"), (.invalidArgument, "reserved-key"),
    ])
  func errorsComeBack(_ code: WireError.Code, _ word: String) {
    let back = V1.project(V1.raise(WireError(code, word, "why")))
    #expect(back.code == code && back.word == word && back.details.isEmpty)
  }

  @Test(
    "every error of v2 that a call of v1 can meet has a code and a word of v1, and no details",
    arguments: [
      (
        "held-by-another", WireError.Code.alreadyExists, "lock-collision",
        WireError.Code.alreadyExists
      ),
      ("not-the-holder", .failedPrecondition, "lock-collision", .alreadyExists),
      ("not-held", .notFound, "resource-not-found", .notFound),
      ("needs-newer-server", .failedPrecondition, "needs-newer-server", .failedPrecondition),
      ("invalid-key", .invalidArgument, "invalid-key", .invalidArgument),
    ])
  func errorsAreProjected(
    _ word: String, _ code: WireError.Code, _ older: String, _ olderCode: WireError.Code
  ) {
    let projected = V1.project(
      WireError(code, word, "why", details: [Latchkey_V2_Refusal.with { $0.reason = word }]))
    #expect(projected.word == older && projected.code == olderCode)
    #expect(projected.details.isEmpty)
  }

  @Test(
    "an error of v1 is told in the words of v2",
    arguments: [
      ("lock-collision", WireError.Code.alreadyExists, "held-by-another"),
      ("resource-not-found", .notFound, "not-held"), ("invalid-type", .notFound, "invalid-kind"),
      ("invalid-ttl", .invalidArgument, "invalid-lease"),
    ])
  func errorsAreRaised(_ word: String, _ code: WireError.Code, _ newer: String) {
    #expect(V1.raise(WireError(code, word)).word == newer)
  }

  // MARK: - What is wrong with a request of v1

  @Test(
    "requests are refused in the words of v1, type first, then the lease",
    arguments: [
      ("{}", "invalid-resource"), (#"{"resource":{"type":"x"}}"#, "invalid-type"),
      (#"{"resource":{"type":"lock"}}"#, "invalid-ttl"),
      (#"{"resource":{"typeCode":"LOCK"},"ttlInSeconds":"-1"}"#, "invalid-ttl"),
      (#"{"resource":{"typeCode":"LOCK"},"ttlInSeconds":"31536001"}"#, "invalid-ttl"),
      (#"{"resource":{"type":"lock","typeCode":"PRESENCE"},"ttlInSeconds":"1"}"#, "invalid-type"),
      (#"{"resource":{"typeCode":7},"ttlInSeconds":"1"}"#, "invalid-type"),
      (#"{"resource":{},"ttlInSeconds":"1"}"#, "invalid-type"),
    ])
  func refusals(_ json: String, _ word: String) throws {
    let message = try Latchkey_V1_LockRequest(jsonString: json)
    let error = #expect(throws: WireError.self) { try V1.lift(.lock(message)) }
    #expect(error?.word == word)
  }

  @Test("a release of v1 names an owner")
  func anonymousRelease() {
    let error = #expect(throws: WireError.self) {
      try V1.lift(.release(.with { $0.resource.key = "k" }))
    }
    #expect(error?.word == "invalid-owner")
    let empty = #expect(throws: WireError.self) { try V1.lift(.release(.init())) }
    #expect(empty?.word == "invalid-resource")
  }

  // MARK: -

  /// The same request with all that v1 lets a client leave out.
  private static func normal(_ request: V1.Request) -> V1.Request {
    func kind(_ name: String, _ code: Latchkey_V1_TypeCode) -> (String, Latchkey_V1_TypeCode) {
      name == "presence" || code == .presence ? ("presence", .presence) : ("lock", .lock)
    }
    switch request {
    case .lock(var message):
      (message.resource.type, message.resource.typeCode) = kind(
        message.resource.type, message.resource.typeCode)
      return .lock(message)
    case .release(let message):
      return .release(
        .with {
          $0.resource.key = message.resource.key
          $0.resource.owner = message.resource.owner
        })
    case .fetch: return request
    case .fetchAll(let message):
      return .fetchAll(.with { ($0.type, $0.typeCode) = kind(message.type, message.typeCode) })
    }
  }

  private static func seenThroughV1(_ resource: Latchkey_V2_Resource) -> Latchkey_V2_Resource {
    .with {
      $0.key = resource.key
      $0.kind = resource.kind
      $0.owner = resource.owner
      $0.value = resource.value
    }
  }

  private static func nanoseconds(_ duration: Google_Protobuf_Duration) -> Int64 {
    duration.seconds * 1_000_000_000 + Int64(duration.nanos)
  }
}
