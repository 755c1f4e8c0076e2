import Access
import Glibc
import JWTKit
import LatchkeyServer
import TestKit
import Testing

/// JWTs as clients show them, over both versions of HTTP.
@Suite(.timeLimit(.minutes(2))) struct JWTAccessTests {
  private let folder: StoreFolder
  private let key = ES256PrivateKey()

  init() throws {
    folder = try StoreFolder()
    try folder.write(
      "jwt:system:serviceaccount:prod:* read,hold jobs/*\njwt:operator operate", to: "policy")
    try publish(key, as: "one")
  }

  private func publish(_ key: ES256PrivateKey, as id: String) throws {
    let point = try #require(key.parameters)
    func url(_ text: String) -> String {
      text.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
    try folder.write(
      #"{"keys":[{"kty":"EC","crv":"P-256","kid":"\#(id)","x":"\#(url(point.x))","y":"\#(url(point.y))"}]}"#,
      to: "keys")
  }

  private struct Claims: JWTPayload {
    var iss = "https://issuer.example"
    var aud = "latchkey"
    var sub: String
    var exp: Int
    func verify(using _: some JWTAlgorithm) {}
  }

  private func jwt(of subject: String, for seconds: Int = 600) async throws -> String {
    let keys = await JWTKeyCollection().add(ecdsa: key, kid: "one")
    return try await keys.sign(Claims(sub: subject, exp: Int(time(nil)) + seconds))
  }

  private func server() async throws -> InProcessServer {
    let access = try AccessControl(
      AccessControl.Sources(
        policy: folder.path("policy"), jwtKeys: folder.path("keys"),
        jwtTerms: JWTs.Terms(issuer: "https://issuer.example", audience: "latchkey")))
    return try await InProcessServer.start(store: folder.file) { $0.access = access }
  }

  private func take(_ key: String, by jwt: String) -> Call {
    var call = Call.json("Acquire", #"{"key":"\#(key)","owner":"o","lease":"60s"}"#, wire: 3)
    call.headers.append(("authorization", "Bearer \(jwt)"))
    return call
  }

  @Test(arguments: HTTPVersion.allCases)
  func aServiceAccountMayDoWhatThePolicySays(_ http: HTTPVersion) async throws {
    let server = try await server()
    let cron = try await jwt(of: "system:serviceaccount:prod:cron")
    for _ in 1...3 {
      #expect(try await http.send(take("jobs/a", by: cron), port: server.port).status == 200)
    }
    let denied = try await http.send(take("other", by: cron), port: server.port)
    #expect(denied.status == 403)
    #expect(
      String(decoding: denied.body, as: UTF8.self)
        .contains("jwt:system:serviceaccount:prod:cron may not hold"))
    let other = try await jwt(of: "system:serviceaccount:test:cron")
    #expect(try await http.send(take("jobs/a", by: other), port: server.port).status == 403)
    for wrong in [cron.dropLast(8) + "AAAAAAAA", "a.b.c", try await jwt(of: "x", for: -1)] {
      let answer = try await http.send(take("jobs/a", by: wrong), port: server.port)
      #expect(answer.status == 401 && answer.value(of: "www-authenticate") == "Bearer")
    }
    for (subject, status) in [("operator", 200), ("system:serviceaccount:prod:cron", 403)] {
      let call = Call(
        method: "GET", path: "/status",
        headers: [("authorization", "Bearer \(try await jwt(of: subject))")], body: [])
      for _ in 1...2 {
        #expect(try await http.send(call, port: server.port).status == status)
      }
    }
    try await server.stop()
  }

  /// Many that were not here before, at the same time: each is looked at elsewhere, and has its own answer.
  @Test func manyComeAtOnce() async throws {
    let server = try await server()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        let subject = "system:serviceaccount:\(number % 2 == 0 ? "prod" : "test"):n\(number)"
        let token = try await jwt(of: subject)
        group.addTask {
          let http = HTTPVersion.allCases[number / 2 % 2]
          let answer = try await http.send(
            take("jobs/\(number)", by: token), port: server.port)
          #expect(answer.status == (number % 2 == 0 ? 200 : 403))
        }
      }
      try await group.waitForAll()
    }
    try await server.stop()
  }

  @Test func whatItsKeyDoesNotVerifyAnyMoreIsGrantedNothingThatItWaitedFor() async throws {
    let server = try await server()
    let (holder, waiter) = (
      try await jwt(of: "system:serviceaccount:prod:a"),
      try await jwt(of: "system:serviceaccount:prod:b")
    )
    #expect(
      try await HTTPVersion.http2.send(take("jobs/a", by: holder), port: server.port).status == 200)
    var wait = Call.json(
      "Acquire", #"{"key":"jobs/a","owner":"w","lease":"60s","wait":"60s"}"#, wire: 3)
    wait.headers.append(("authorization", "Bearer \(waiter)"))
    async let waiting = HTTPVersion.http2.send(wait, port: server.port)
    try await server.waitUntil(waiting: 1)
    let release = Call.json("Release", #"{"key":"jobs/a","owner":"o"}"#, wire: 3)
    try folder.write(
      "jwt:system:serviceaccount:prod:* read,hold jobs/*\nnobody break jobs/*", to: "policy")
    try publish(ES256PrivateKey(), as: "one")
    while try await HTTPVersion.http2.send(take("jobs/b", by: holder), port: server.port).status
      != 401
    {
      #expect(server.reload())
    }
    while try await HTTPVersion.http2.send(release, port: server.port).status != 200 {
      #expect(server.reload())
    }
    #expect(try await waiting.status == 401)
    try await server.stop()
  }

  @Test func aKeyThatIsTakenAwayVerifiesNothingAnyMore() async throws {
    let server = try await server()
    let cron = try await jwt(of: "system:serviceaccount:prod:cron")
    let call = take("jobs/a", by: cron)
    #expect(try await HTTPVersion.http2.send(call, port: server.port).status == 200)
    try publish(ES256PrivateKey(), as: "two")
    while try await HTTPVersion.http2.send(call, port: server.port).status != 401 {
      #expect(server.reload())
    }
    try await server.stop()
  }
}
