import Testing
import WireSchema

@testable import HTTP
@testable import LatchkeyClient

struct EndpointTests {
  @Test(arguments: [
    ("locks.example", "locks.example", 7420, "locks.example:7420"),
    ("locks.example:1", "locks.example", 1, "locks.example:1"),
    ("10.0.0.1:65535", "10.0.0.1", 65_535, "10.0.0.1:65535"),
    ("[::1]:99", "::1", 99, "[::1]:99"),
    ("[fe80::1%eth0]", "fe80::1%eth0", 7420, "[fe80::1%eth0]:7420"),
    ("http://locks.example:1", "locks.example", 1, "locks.example:1"),
    ("http://locks.example:1/", "locks.example", 1, "locks.example:1"),
    ("HTTP://locks.example/", "locks.example", 7420, "locks.example:7420"),
    ("http://[::1]:99/", "::1", 99, "[::1]:99"),
  ])
  func endpointsAreRead(text: String, host: String, port: Int, description: String) throws {
    let endpoint = try Endpoint(text)
    #expect(endpoint.host == host)
    #expect(endpoint.port == port)
    #expect(endpoint.description == description)
    #expect(try Endpoint(endpoint.description) == endpoint)
  }

  @Test(arguments: [
    "", ":7420", "host:", "host:0", "host:65536", "host:-1", "host:7x", "::1", "[::1", "[]:1",
    "[host]:1", "[::1]7420", "host name:1", "hôst:1", "a:1:2", "host:+1",
    String(repeating: "a", count: 254), "http://", "http:///", "http://host:1//",
    "http://host/path",
    "http://host:1?a", "http:/host", "ftp://host:1", "host:1/", "http://http://host",
    "http://u@host:1", "https://", "https://host:1//", "https://u@host", "unix:",
    "unix:" + String(repeating: "a", count: 108),
  ])
  func whatIsNoEndpointIsRefused(text: String) async {
    #expect(await code { _ = try Endpoint(text) } == .invalidRequest)
  }
}

struct EndpointURLTests {
  @Test(arguments: [
    ("https://locks.example:7421", "https://locks.example:7421"),
    ("HTTPS://locks.example/", "https://locks.example:7420"),
    ("https://[::1]", "https://[::1]:7420"),
  ])
  func aSchemeSaysThatTLSIsSpoken(_ text: String, _ description: String) throws {
    let endpoint = try Endpoint(text)
    #expect(endpoint.isSecure && endpoint.description == description)
    #expect(try Endpoint(description) == endpoint)
  }

  @Test func aSocketHasAPath() throws {
    let endpoint = try Endpoint("unix:/run/latchkey.sock")
    #expect(endpoint.socketPath == "/run/latchkey.sock" && !endpoint.isSecure)
    #expect(endpoint.description == "unix:/run/latchkey.sock")
  }
}

struct ArgumentTests {
  private static let endpoint = try! Endpoint("127.0.0.1:1")

  @Test(
    arguments: [
      { $0.endpoints = [] },
      { $0.endpoints = Array(repeating: endpoint, count: 65) },
      { $0.requestTimeout = .zero },
      { $0.requestTimeout = .seconds(3_601) },
      { $0.connectTimeout = .seconds(-1) },
      { $0.backoff = .init(min: .zero, max: .seconds(1)) },
      { $0.pollInterval = .init(min: .seconds(2), max: .seconds(1)) },
    ] as [@Sendable (inout LatchkeyClient.Configuration) -> Void])
  func anImpossibleConfigurationIsReportedByCalls(
    change: @Sendable (inout LatchkeyClient.Configuration) -> Void
  ) async {
    var configuration = LatchkeyClient.Configuration(endpoints: [Self.endpoint])
    change(&configuration)
    let client = LatchkeyClient(configuration)
    #expect(await code { _ = try await client.fetch("key") } == .invalidRequest)
    #expect(await code { try await client.withLock("key") { _ in } } == .invalidRequest)
    #expect(await code { _ = try await client.connectionInfo() } == .invalidRequest)
    await client.shutdown()
  }

  @Test(arguments: [
    (Duration.milliseconds(499), Duration?.none), (.zero, nil), (.seconds(-5), nil),
    (.seconds(31_536_001), nil), (.seconds(15), .milliseconds(-1)),
  ])
  func impossibleTimingsAreRefused(lease: Duration, wait: Duration?) async {
    let client = LatchkeyClient(.init(endpoints: [Self.endpoint]))
    #expect(
      await code {
        try await client.withLock("key", lease: lease, wait: wait) { _ in
          _ = Issue.record("the body ran")
        }
      } == .invalidRequest)
    await client.shutdown()
  }

  @Test func ownersAreUniqueAndShortEnough() {
    let owners = (0..<100).map { _ in LatchkeyClient.uniqueOwner() }
    #expect(Set(owners).count == owners.count)
    #expect(owners.allSatisfy { $0.utf8.count <= 512 && $0.split(separator: "/").count == 3 })
  }
}

struct CallsInOlderWordsTests {
  private static let resource = Resource(key: "k", kind: .presence, owner: "o", value: "v")

  @Test func theCallsOfV1AreItsMethods() throws {
    let calls: [NewestWire.Request] = [
      .acquire(Self.resource, lease: .milliseconds(6_001), wait: .seconds(9), requestID: "r"),
      .release("k", owner: "o"), .get(.with { $0.key = "k" }), .list(.with { $0.kind = .lock }),
    ]
    let paths = try calls.map { try V1.encode($0).path }
    #expect(paths == V1.Method.allCases.map(V1.path))
    let claim = try Latchkey_V1_LockRequest(serializedBytes: try V1.encode(calls[0]).body)
    #expect(claim.ttlInSeconds == 7)
    #expect(claim.resource.type == "presence")
    #expect(claim.resource.typeCode == .presence)
    #expect((claim.resource.key, claim.resource.owner, claim.resource.value) == ("k", "o", "v"))
  }

  @Test(arguments: [
    (NewestWire.Request.renew(.with { $0.token = 7 }), "renewal by token"),
    (.release("k", token: 7, owner: "o"), "release by token"),
    (.list(NewestWire.ListRequest()), "list of every kind"),
    (.renewMany(NewestWire.RenewManyRequest()), "renewal of several locks at once"),
  ])
  func whatV1CannotCarryIsRefusedByName(_ call: NewestWire.Request, _ feature: String) {
    let refused = #expect(throws: LatchkeyError.self) { _ = try V1.encode(call) }
    #expect(refused?.code == .requiresNewerPeer)
    #expect(refused?.requirement == .init(feature: feature, needs: 2, has: 1))
  }

  @Test func aTypeIsReadByCodeOrByName() throws {
    let cases: [(Latchkey_V1_TypeCode, String, ResourceKind?)] = [
      (.lock, "", .lock), (.unknown, "presence", .presence), (.presence, "lock", .presence),
      (.unknown, "lease", nil), (.UNRECOGNIZED(9), "", nil),
    ]
    for (code, name, kind) in cases {
      let response = Latchkey_V1_FetchResponse.with {
        $0.resource.key = "k"
        $0.resource.typeCode = code
        $0.resource.type = name
      }
      let body: [UInt8] = try response.serializedBytes()
      guard case .get(let answer) = try V1.decode(body, of: .get(.with { $0.key = "k" })) else {
        Issue.record("not the answer to that question")
        continue
      }
      let expected = kind.map { Resource(key: "k", kind: $0, owner: "", value: "") }
      #expect((try? Resource(answer.resource)) == expected)
    }
  }

  @Test func whatIsNoAnswerIsAnError() async {
    #expect(
      await code { _ = try V1.decode([0xff], of: .get(.with { $0.key = "k" })) } == .unknown)
  }
}

struct VerdictTests {
  private static func response(
    _ error: RPCError, wire: String? = nil
  ) -> HTTP2Response {
    var headers = HeaderBlock()
    headers.append(":status", "\(error.httpStatus)")
    if let wire { headers.append("latchkey-wire", wire) }
    return HTTP2Response(status: error.httpStatus, headers: headers, body: error.json)
  }

  @Test(arguments: [
    (RPCError(.alreadyExists, "lock-collision"), LatchkeyError.Code.heldByAnother),
    (RPCError(.notFound, "resource-not-found"), .notFound),
    (RPCError(.notFound, "invalid-type"), .invalidRequest),
    (RPCError(.invalidArgument, "invalid-ttl"), .invalidRequest),
    (RPCError(.failedPrecondition, "needs-newer-server: 0.2.0"), .requiresNewerServer),
    (RPCError(.failedPrecondition, "else"), .unknown),
    (RPCError(.resourceExhausted, "queue"), .overloaded),
    (RPCError(.resourceExhausted, "too large", httpStatus: 413), .invalidRequest),
    (RPCError(.deadlineExceeded, ""), .deadlineExceeded),
    (RPCError(.internal, "broken"), .unknown),
  ])
  func errorsHaveTheirCodes(error: RPCError, code: LatchkeyError.Code) {
    guard case .refused(let refusal, _) = Verdict(Self.response(error), version: V1.self) else {
      Issue.record("not refused")
      return
    }
    #expect(refusal.code == code)
    #expect(!refusal.message.isEmpty)
  }

  @Test(arguments: [429, 502, 503, 504])
  func aProxysErrorIsWorthAnotherTry(status: Int) {
    let response = HTTP2Response(
      status: status, headers: HeaderBlock(), body: Array("<html>".utf8))
    guard case .unavailable = Verdict(response, version: V1.self) else {
      Issue.record("not unavailable")
      return
    }
  }

  @Test func aRefusedVersionIsToldByDetailOrHeader() throws {
    let detail = RPCError.Detail(
      type: WireRange.detailType,
      value: try WireRange(oldest: 2, newest: 4)!.message.serializedBytes())
    let cases: [(RPCError, String?, WireRange?)] = [
      (RPCError(.unimplemented, "", details: [detail]), nil, WireRange(oldest: 2, newest: 4)),
      (
        RPCError(.unimplemented, "", details: [detail]), "9-9",
        WireRange(oldest: 2, newest: 4)
      ),
      (RPCError(.unimplemented, ""), "5-6", WireRange(oldest: 5, newest: 6)),
      // The version was fine, so it is another error.
      (RPCError(.unimplemented, ""), "1-6", nil),
      (RPCError(.unimplemented, ""), nil, nil),
      (RPCError(.unimplemented, ""), "nonsense", nil),
    ]
    for (error, header, expected) in cases {
      let verdict = Verdict(Self.response(error, wire: header), version: V1.self)
      if case .speaks(let range) = verdict {
        #expect(range == expected)
      } else {
        #expect(expected == nil)
      }
    }
  }
}
