import Access
import Files
import Glibc
import LatchkeyClient
import LatchkeyServer
import Logging
import StorageSQLite
import TLS
import TestKit
import Testing

/// Clients and servers that speak TLS with each other, or would like to.
@Suite(.timeLimit(.minutes(2))) struct TLSTests {
  private let folder: StoreFolder
  private let authority: TestAuthority

  init() throws {
    folder = try StoreFolder()
    authority = try TestAuthority(in: folder)
  }

  private func server(
    _ issued: TestAuthority.Issued, clients: TLSMaterial.ClientCertificates = .none,
    authorities: String? = nil, _ log: LogRecorder = LogRecorder()
  ) async throws -> InProcessServer {
    let files = TLSFiles(
      certificate: issued.certificate, key: issued.key, authorities: authorities)
    let material = try TLSMaterial(files, .server(clients: clients))
    return try await InProcessServer.start(store: folder.file) {
      $0.listeners = [Listener(.tcp(host: InProcessServer.host, port: 0), isSecure: true)]
      $0.tls = material
      $0.logger = log.logger
    }
  }

  private func client(
    _ endpoint: String, _ tls: LatchkeyClient.TLS
  ) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(endpoints: [try Endpoint(endpoint)])
    configuration.tls = tls
    configuration.requestTimeout = .seconds(10)
    return LatchkeyClient(configuration)
  }

  /// What a client says that cannot get through.
  private func complaint(
    _ endpoint: String, _ tls: LatchkeyClient.TLS
  ) async throws -> String {
    var configuration = LatchkeyClient.Configuration(endpoints: [try Endpoint(endpoint)])
    configuration.tls = tls
    configuration.requestTimeout = .milliseconds(1_500)
    let client = LatchkeyClient(configuration)
    let error = await #expect(throws: LatchkeyError.self) { try await client.fetch("k") }
    await client.shutdown()
    return error.map { "\($0)" } ?? ""
  }

  private var trusting: LatchkeyClient.TLS { .init(authorities: authority.path) }

  @Test(arguments: ["127.0.0.1", "localhost"]) func aClientHoldsALockOverTLS(_ host: String)
    async throws
  {
    let server = try await server(authority.issue("server"))
    let client = try client("https://\(host):\(server.port)", trusting)
    #expect(try await client.connectionInfo().wireVersion == 3)
    let token = try await client.withLock("k", lease: .seconds(15)) { $0.token }
    #expect(token == 1)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aServerThatIsNotWhomTheClientTrustsIsNamed() async throws {
    let stranger = try TestAuthority("stranger", in: folder)
    let server = try await server(stranger.issue("server"))
    let said = try await complaint("https://127.0.0.1:\(server.port)", trusting)
    #expect(said.contains("issued by \"stranger\", which is not among those in \(authority.path)"))
    try await server.stop()
  }

  @Test func aCertificateForAnotherNameIsNamed() async throws {
    let server = try await server(
      authority.issue("server") {
        $0.dnsNames = ["other.example"]
        $0.addresses = []
      })
    let said = try await complaint("https://localhost:\(server.port)", trusting)
    #expect(said.contains("its certificate is for other.example"))
    // Unless that is the name that is asked for.
    var tls = trusting
    tls.serverName = "other.example"
    let client = try client("https://localhost:\(server.port)", tls)
    #expect(try await client.fetch("k") == nil)
    await client.shutdown()
    try await server.stop()
  }

  @Test func whatIsNotValidNowIsNamed() async throws {
    let server = try await server(authority.issue("server") { $0.validity = -7_200 ... -3_600 })
    let said = try await complaint("https://127.0.0.1:\(server.port)", trusting)
    #expect(said.contains("its certificate was valid until 20"))
    try await server.stop()
    let early = try await self.server(authority.issue("early") { $0.validity = 3_600...7_200 })
    let other = try await complaint("https://127.0.0.1:\(early.port)", trusting)
    #expect(other.contains("its certificate is valid from 20"))
    try await early.stop()
  }

  @Test func whoSpeaksTheWrongOneOfTLSAndClearTextIsTold() async throws {
    let secure = try await server(authority.issue("server"))
    let said = try await complaint("http://127.0.0.1:\(secure.port)", trusting)
    #expect(said.contains("this port speaks TLS: use https:// in place of http://"), "\(said)")
    let answer = try await HTTPVersion.http1.send(.json("Fetch", "{}"), port: secure.port)
    #expect(answer.status == 400)
    #expect(String(decoding: answer.body, as: UTF8.self).contains("this port speaks TLS"))
    try await secure.stop()
    let clear = try await InProcessServer.start(store: folder.file)
    let other = try await complaint("https://127.0.0.1:\(clear.port)", trusting)
    #expect(other.contains("does not speak TLS"), "\(other)")
    try await clear.stop()
  }

  @Test func onlyWhoShowsACertificateIsLetInWhereOneIsRequired() async throws {
    let log = LogRecorder()
    let stranger = try TestAuthority("stranger", in: folder)
    let own = try authority.issue("client") { $0.uris = ["spiffe://example.org/scheduler"] }
    let foreign = try stranger.issue("foreign")
    let server = try await server(
      authority.issue("server"), clients: .required, authorities: authority.path, log)
    let endpoint = "https://127.0.0.1:\(server.port)"
    let none = try await complaint(endpoint, trusting)
    #expect(none.contains("it wants a certificate of this side"), "\(none)")
    let wrong = try await complaint(
      endpoint,
      .init(authorities: authority.path, certificate: foreign.certificate, key: foreign.key))
    #expect(wrong.contains("it does not trust the issuer of this side's certificate"), "\(wrong)")
    let client = try client(
      endpoint, .init(authorities: authority.path, certificate: own.certificate, key: own.key))
    #expect(try await client.fetch("k") == nil)
    await client.shutdown()
    try await server.stop()
    let said = log.text
    #expect(said.contains("it showed no certificate"), "\(said)")
  }

  @Test func whoShowsNoCertificateIsLetInWhereItIsOptional() async throws {
    let stranger = try TestAuthority("stranger", in: folder)
    let foreign = try stranger.issue("foreign")
    let server = try await server(
      authority.issue("server"), clients: .optional, authorities: authority.path)
    let endpoint = "https://127.0.0.1:\(server.port)"
    let client = try client(endpoint, trusting)
    #expect(try await client.fetch("k") == nil)
    await client.shutdown()
    // But what is shown has to be good.
    let wrong = try await complaint(
      endpoint,
      .init(authorities: authority.path, certificate: foreign.certificate, key: foreign.key))
    #expect(wrong.contains("it does not trust the issuer of this side's certificate"), "\(wrong)")
    try await server.stop()
  }

  @Test func aNewCertificateIsUsedFromTheNextConnectionOn() async throws {
    let log = LogRecorder()
    let server = try await server(authority.issue("server") { $0.commonName = "first" }, log)
    let endpoint = "https://127.0.0.1:\(server.port)"
    let before = try client(endpoint, trusting)
    #expect(try await before.fetch("k") == nil)

    // What comes from another authority is what nobody trusts who has connected so far.
    let next = try TestAuthority("next", in: folder)
    _ = try next.issue("server")
    #expect(server.reload())
    try await log.wait(for: "new certificate in use")
    #expect(try await before.fetch("k") == nil, "the connection stays")
    let after = try client(endpoint, .init(authorities: next.path))
    #expect(try await after.fetch("k") == nil)
    for client in [before, after] { await client.shutdown() }
    try await server.stop()
  }

  @Test(arguments: ["nothing", "no certificate", "another key", "expired"])
  func whatCannotBeUsedIsRefusedAndTheOldOneStays(_ fault: String) async throws {
    let log = LogRecorder()
    let issued = try authority.issue("server")
    let server = try await server(issued, log)
    switch fault {
    case "nothing": #expect(unlink(issued.certificate) == 0)
    case "no certificate": try folder.write("rubbish", to: "server.pem")
    case "another key":
      let other = try authority.issue("other")
      #expect(rename(other.key, issued.key) == 0)
    default: _ = try authority.issue("server") { $0.validity = -7_200 ... -3_600 }
    }
    #expect(server.reload())
    try await log.wait(for: "new certificate cannot be used; what was used before stays in use")
    let client = try client("https://127.0.0.1:\(server.port)", trusting)
    #expect(try await client.fetch("k") == nil)
    await client.shutdown()
    try await server.stop()
  }

  /// The client's own files as well are read again.
  @Test func aClientTrustsWhomItsFileNamesNow() async throws {
    let next = try TestAuthority("next", in: folder)
    let server = try await server(next.issue("server"))
    let client = try client("https://127.0.0.1:\(server.port)", trusting)
    async let fetched = client.fetch("k")
    #expect(rename(next.path, authority.path) == 0)
    #expect(try await fetched == nil)
    await client.shutdown()
    try await server.stop()
  }

  @Test func filesThatCannotBeUsedAreNamed() throws {
    let issued = try authority.issue("server")
    let other = try authority.issue("other")
    func reason(_ files: TLSFiles) -> String {
      let error = #expect(throws: FileError.self) {
        try TLSMaterial(files, .server(clients: .none))
      }
      return error?.description ?? ""
    }
    #expect(
      reason(TLSFiles(certificate: folder.path("none"), key: issued.key))
        == "cannot read \(folder.path("none")): No such file or directory")
    #expect(
      reason(TLSFiles(certificate: issued.certificate, key: issued.certificate))
        == "\(issued.certificate) has no private key in PEM, or an encrypted one")
    #expect(
      reason(TLSFiles(certificate: issued.key, key: issued.key))
        == "\(issued.key) has no certificate in PEM")
    #expect(
      reason(TLSFiles(certificate: issued.certificate, key: other.key))
        == "the key in \(other.key) is not that of the certificate in \(issued.certificate)")
  }

  @Test func aSocketOfThisMachineIsForWhomItSays() async throws {
    let path = folder.path("latchkey.sock")
    let socket = UnixSocket(path: path, mode: 0o660)
    func start() async throws -> InProcessServer {
      try await InProcessServer.start(store: folder.file) {
        $0.listeners = [Listener(.unix(socket))]
      }
    }
    let server = try await start()
    var facts = stat()
    #expect(lstat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o660)
    let client = try client("unix:\(path)", .init())
    #expect(try await client.withLock("k", lease: .seconds(15)) { $0.token } == 1)
    await client.shutdown()
    // Nobody takes it from a server that is there.
    await #expect(throws: ListenError.self) { try await start() }
    try await server.stop()
    #expect(lstat(path, &facts) != 0)
    // What a server has left behind is in nobody's way.
    let left = try socket.bind()
    close(left)
    let next = try await start()
    try await next.stop()
  }

  @Test func aCertificateSaysWhoAsks() async throws {
    try folder.write(
      """
      spiffe://example.org/ns/*/scheduler hold *
      dns:web.example.org read *
      cn:plain read *
      uri:token://deployer read *
      """, to: "policy")
    let access = try AccessControl(AccessControl.Sources(policy: folder.path("policy")))
    let issued = try authority.issue("server")
    let material = try TLSMaterial(
      TLSFiles(certificate: issued.certificate, key: issued.key, authorities: authority.path),
      .server(clients: .optional))
    let server = try await InProcessServer.start(store: folder.file) {
      $0.listeners = [Listener(.tcp(host: InProcessServer.host, port: 0), isSecure: true)]
      $0.tls = material
      $0.access = access
    }
    func may(_ change: ((inout TestAuthority.Terms) -> Void)?) async throws -> (Bool, Bool) {
      var tls = trusting
      if let change {
        let own = try authority.issue("client") {
          ($0.dnsNames, $0.addresses) = ([], [])
          change(&$0)
        }
        (tls.certificate, tls.key) = (own.certificate, own.key)
      }
      let client = try client("https://127.0.0.1:\(server.port)", tls)
      func isAllowed(_ call: () async throws(LatchkeyError) -> Void) async throws -> Bool {
        do throws(LatchkeyError) {
          try await call()
          return true
        } catch {
          guard error.code == .permissionDenied else { throw error }
          return false
        }
      }
      let reads = try await isAllowed { () throws(LatchkeyError) in _ = try await client.fetch("k")
      }
      let holds = try await isAllowed { () throws(LatchkeyError) in
        _ = try await client.release("k", owner: "nobody-has-it")
      }
      await client.shutdown()
      return (reads, holds)
    }
    #expect(try await may { $0.uris = ["spiffe://example.org/ns/a/scheduler"] } == (false, true))
    #expect(try await may { $0.uris = ["spiffe://example.org/ns/a/b/scheduler"] } == (false, false))
    #expect(try await may { $0.dnsNames = ["web.example.org"] } == (true, false))
    #expect(try await may { $0.commonName = "plain" } == (true, false))
    // No certificate stands for a token.
    #expect(try await may { $0.uris = ["token://deployer"] } == (true, false))
    #expect(try await may(nil) == (false, false))
    try await server.stop()
  }

  @Test func aSocketOfThisMachineSaysWhoAsks() async throws {
    let name = try #require(getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) })
    try folder.write("user:\(name) hold mine/*", to: "policy")
    let access = try AccessControl(AccessControl.Sources(policy: folder.path("policy")))
    let path = folder.path("latchkey.sock")
    let server = try await InProcessServer.start(store: folder.file) {
      $0.listeners = [Listener(.unix(UnixSocket(path: path)))]
      $0.access = access
    }
    let client = try client("unix:\(path)", .init())
    #expect(try await client.withLock("mine/1", lease: .seconds(15)) { $0.token } == 1)
    let error = await #expect(throws: LatchkeyError.self) { try await client.fetch("mine/1") }
    #expect(error?.code == .permissionDenied)
    #expect(error?.message.contains("user:\(name) may not read \"mine/1\"") == true)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aTokenIsShownAndNeverInClearText() async throws {
    let (old, new) = (Tokens.new(), Tokens.new())
    try folder.write(
      Tokens.line(for: old, name: "a") + "\n" + Tokens.line(for: new, name: "b"), to: "tokens")
    try folder.write("token:* hold *", to: "policy")
    try folder.write(old + "\n", to: "token")
    let access = try AccessControl(
      AccessControl.Sources(policy: folder.path("policy"), tokens: folder.path("tokens")))
    let server = try await InProcessServer.start(store: folder.file) { $0.access = access }
    var configuration = LatchkeyClient.Configuration(
      endpoints: [try Endpoint("127.0.0.1:\(server.port)")])
    configuration.token = .file(folder.path("token"))
    #expect(!"\(configuration)".contains(old))
    let client = LatchkeyClient(configuration)
    #expect(try await client.withLock("k", lease: .seconds(15)) { $0.token } == 1)
    await client.shutdown()
    // Another machine's address: nothing is sent.
    configuration.endpoints = [try Endpoint("192.0.2.1:7420")]
    configuration.requestTimeout = .seconds(1)
    let far = LatchkeyClient(configuration)
    let error = await #expect(throws: LatchkeyError.self) { try await far.fetch("k") }
    let said = error.map { "\($0)" } ?? ""
    #expect(said.contains("is not sent in clear text to another machine"), "\(said)")
    await far.shutdown()
    try await server.stop()
  }

  /// What tells how the server is, and calls, where they are to be apart.
  @Test func whatOperatorsAskIsAnsweredWhereItShouldBe() async throws {
    let path = folder.path("admin.sock")
    let server = try await InProcessServer.start(store: folder.file) {
      $0.listeners = [
        Listener(.tcp(host: InProcessServer.host, port: 0), purpose: .calls),
        Listener(.unix(UnixSocket(path: path)), purpose: .operations),
      ]
    }
    func status(_ path: String) async throws -> Int {
      let call = Call(method: "GET", path: path, headers: [], body: [])
      return try await HTTPVersion.http1.send(call, port: server.port).status
    }
    #expect(try await status("/status") == 404)
    #expect(try await status("/readyz") == 200)
    let client = try client("unix:\(path)", .init())
    #expect(try await client.status().serverID == "test")
    await #expect(throws: LatchkeyError.self) { try await client.fetch("k") }
    await client.shutdown()
    try await server.stop()
  }
}
