import Access
import LatchkeyServer
import TestKit
import Testing

/// What servers answer to whom, over both versions of HTTP and all of the wire.
@Suite(.timeLimit(.minutes(2))) struct RightsTests {
  /// Names, and what the policy gives each of them on keys that begin with "a/". Whoever is not here has nothing.
  private static let rights: [String: Set<Right>] = [
    "reader": [.read], "holder": [.hold], "both": [.read, .hold], "breaker": [.break],
    "operator": [.operate], "stranger": [],
  ]

  /// What can be asked, and which rights are enough for it.
  private enum Action: CaseIterable {
    case acquire, renew, release, get, list

    var rights: Set<Right> {
      switch self {
      case .acquire: [.hold]
      case .renew, .release: [.hold, .break]
      case .get, .list: [.read]
      }
    }

    /// - Returns: Nil where the wire version has no such call.
    func call(wire: UInt32, key: String) -> Call? {
      let prefix = key.prefix { $0 != "/" } + "/"
      return switch (self, wire) {
      case (.acquire, 1):
        .json(
          "Lock", #"{"resource":{"key":"\#(key)","owner":"o","type":"lock"},"ttl_in_seconds":60}"#)
      case (.acquire, _):
        .json("Acquire", #"{"key":"\#(key)","owner":"o","lease":"60s"}"#, wire: wire)
      case (.renew, 1): nil
      case (.renew, _): .json("Renew", #"{"key":"\#(key)","token":"1"}"#, wire: wire)
      case (.release, 1): .json("Release", #"{"resource":{"key":"\#(key)","owner":"o"}}"#)
      case (.release, _): .json("Release", #"{"key":"\#(key)","owner":"o"}"#, wire: wire)
      case (.get, 1): .json("Fetch", #"{"key":"\#(key)"}"#)
      case (.get, _): .json("Get", #"{"key":"\#(key)"}"#, wire: wire)
      case (.list, 1): .json("FetchAll", #"{"type":"lock"}"#)
      case (.list, _): .json("List", #"{"keyPrefix":"\#(prefix)"}"#, wire: wire)
      }
    }
  }

  private let folder: StoreFolder
  private let tokens: [String: String]

  init() throws {
    folder = try StoreFolder()
    tokens = Self.rights.mapValues { _ in Tokens.new() }
    try folder.write(
      tokens.map { Tokens.line(for: $1, name: $0) }.joined(separator: "\n"), to: "tokens")
    let rules = Self.rights.flatMap { name, rights in
      rights.map { $0 == .operate ? "token:\(name) operate" : "token:\(name) \($0) a/*" }
    }
    try folder.write(rules.joined(separator: "\n"), to: "policy")
  }

  private func server(hasPolicy: Bool = true) async throws -> InProcessServer {
    let access = try AccessControl(
      AccessControl.Sources(
        policy: hasPolicy ? folder.path("policy") : nil, tokens: folder.path("tokens")))
    return try await InProcessServer.start(store: folder.file) { $0.access = access }
  }

  private func shown(_ call: Call, by token: String?) -> Call {
    var call = call
    if let token { call.headers.append(("authorization", "Bearer \(token)")) }
    return call
  }

  @Test(arguments: HTTPVersion.allCases, [UInt32(1), 2, 3])
  func eachMayDoWhatThePolicySays(_ http: HTTPVersion, _ wire: UInt32) async throws {
    let server = try await server()
    let names: [String?] = Self.rights.keys.sorted() + [nil]
    var cells = 0
    for (name, action, key) in names.flatMap({ name in
      Action.allCases.flatMap { action in ["a/k", "b/k"].map { (name, action, $0) } }
    }) {
      guard let call = action.call(wire: wire, key: key) else { continue }
      let given = name.flatMap { Self.rights[$0] } ?? []
      // A list of other keys shows nothing of them; only who may read nothing at all is refused.
      let isAllowed =
        !given.isDisjoint(with: action.rights) && (key.hasPrefix("a/") || action == .list)
      let answer = try await http.send(
        shown(call, by: name.flatMap { tokens[$0] }), port: server.port)
      let text = String(decoding: answer.body, as: UTF8.self)
      // What is allowed may be in vain: another grant is there, or none.
      let expected = isAllowed ? [200, 400, 404, 409] : [403]
      #expect(
        expected.contains(answer.status),
        "\(name ?? "nobody") \(action) \(key): \(answer.status) \(text)")
      if answer.status == 403 {
        #expect(text.contains("permission_denied") && text.contains("permission-denied: "))
        #expect(
          text.contains(
            name.map { "token:\($0) may not " }
              ?? "nobody (who has shown neither token nor certificate) may not "))
      }
      cells += 1
    }
    #expect(cells == names.count * (wire == 1 ? 4 : 5) * 2)
    try await server.stop()
  }

  /// Whether there is anything must not be told.
  @Test func aDenialSaysTheSameWhateverThereIs() async throws {
    let server = try await server()
    func denial(_ action: Action, _ key: String) async throws -> String {
      let call = try #require(action.call(wire: 3, key: key))
      let answer = try await HTTPVersion.http2.send(
        shown(call, by: tokens["stranger"]), port: server.port)
      #expect(answer.status == 403)
      return String(decoding: answer.body, as: UTF8.self)
    }
    let actions: [Action] = [.acquire, .renew, .release, .get]
    var before: [String] = []
    for action in actions { before.append(try await denial(action, "a/k")) }
    let held = try await HTTPVersion.http2.send(
      shown(Action.acquire.call(wire: 3, key: "a/k")!, by: tokens["holder"]), port: server.port)
    #expect(held.status == 200)
    for (action, said) in zip(actions, before) { #expect(try await denial(action, "a/k") == said) }
    try await server.stop()
  }

  @Test(arguments: HTTPVersion.allCases)
  func whatIsShownAndWrongIsNotTakenForNothing(_ http: HTTPVersion) async throws {
    try folder.write("anybody read,hold *\n", to: "policy")
    let server = try await server()
    let call = try #require(Action.get.call(wire: 3, key: "k"))
    #expect(try await http.send(call, port: server.port).status == 404)
    for header in ["Bearer wrong", "Bearer", "Basic dTpw", "", tokens["reader"]!] {
      var wrong = call
      wrong.headers.append(("authorization", header))
      let answer = try await http.send(wrong, port: server.port)
      #expect(answer.status == 401, "\(header)")
      #expect(answer.value(of: "www-authenticate") == "Bearer")
      #expect(!String(decoding: answer.body, as: UTF8.self).contains(tokens["reader"]!))
    }
    // Before the message is read.
    var rubbish = Call.json("Get", "rubbish", wire: 3)
    rubbish.headers.append(("authorization", "Bearer wrong"))
    #expect(try await http.send(rubbish, port: server.port).status == 401)
    // And what it may after the message's own checks.
    let unknown = shown(.json("Get", #"{"key":""}"#, wire: 3), by: tokens["stranger"])
    #expect(try await http.send(unknown, port: server.port).status == 400)
    try await server.stop()
  }

  @Test func aListShowsWhatMayBeRead() async throws {
    try folder.write(
      "token:both hold *\ntoken:reader read a/*\ntoken:reader read b/2", to: "policy")
    let server = try await server()
    for key in ["a/1", "a/2", "b/1", "b/2", "c"] {
      let call = try #require(Action.acquire.call(wire: 3, key: key))
      let answer = try await HTTPVersion.http2.send(
        shown(call, by: tokens["both"]), port: server.port)
      #expect(answer.status == 200)
    }
    for (query, shows) in [
      ("{}", ["a/1", "a/2", "b/2"]), (#"{"keyPrefix":"b/"}"#, ["b/2"]),
      (#"{"pageSize":2}"#, ["a/1", "a/2"]), (#"{"afterKey":"a/2"}"#, ["b/2"]),
    ] {
      let answer = try await HTTPVersion.http2.send(
        shown(.json("List", query, wire: 3), by: tokens["reader"]), port: server.port)
      let text = String(decoding: answer.body, as: UTF8.self)
      for key in ["a/1", "a/2", "b/1", "b/2", "\"c\""] {
        #expect(text.contains(key) == shows.contains(key), "\(query): \(text)")
      }
    }
    try await server.stop()
  }

  /// One that may not be renewed does not keep others from it.
  @Test func eachRenewalHasAVerdictOfItsOwn() async throws {
    try folder.write("token:both hold *\ntoken:holder hold a/*", to: "policy")
    let server = try await server()
    for key in ["a/1", "b/1"] {
      let call = try #require(Action.acquire.call(wire: 3, key: key))
      _ = try await HTTPVersion.http2.send(shown(call, by: tokens["both"]), port: server.port)
    }
    let renewals = #"{"renewals":[{"key":"b/1","token":"1"},{"key":"none","token":"1"}]}"#
    let answer = try await HTTPVersion.http2.send(
      shown(.json("RenewMany", renewals, wire: 3), by: tokens["holder"]), port: server.port)
    let text = String(decoding: answer.body, as: UTF8.self)
    #expect(answer.status == 200)
    #expect(text.components(of: "permission-denied") == 2, "\(text)")
    #expect(!text.contains("\"owner\""), "\(text)")
    try await server.stop()
  }

  /// Owner, token and request id stand in lists and logs: who knows them is not whose it is. The server knows it after
  /// a restart too.
  @Test(arguments: HTTPVersion.allCases)
  func nobodyElseHasWhatAnIdentityHolds(_ http: HTTPVersion) async throws {
    try folder.write("token:both hold *\ntoken:holder hold *\ntoken:breaker break *", to: "policy")
    func send(_ call: Call, by name: String, _ server: InProcessServer) async throws -> Answer {
      try await http.send(shown(call, by: tokens[name]), port: server.port)
    }
    let calls = Action.allCases.flatMap { action in
      [UInt32(1), 2, 3].compactMap { action.call(wire: $0, key: "k") }
    }
    var server = try await server()
    #expect(try await send(calls[0], by: "both", server).status == 200)
    for isRestarted in [false, true] {
      if isRestarted {
        try await server.stop()
        server = try await self.server()
      }
      for call in calls {
        let answer = try await send(call, by: "holder", server)
        #expect([403, 409].contains(answer.status), "\(call.path) \(answer.status)")
      }
      // Whose it is keeps it, by each wire version.
      let own = calls.filter { call in
        ["Lock", "Acquire", "Renew"].contains { call.path.hasSuffix("/\($0)") }
      }
      #expect(own.count == 5)
      for call in own { #expect(try await send(call, by: "both", server).status == 200) }
    }
    let release = try #require(Action.release.call(wire: 3, key: "k"))
    #expect(try await send(release, by: "breaker", server).status == 200)
    let free = try #require(Action.acquire.call(wire: 3, key: "k"))
    #expect(try await send(free, by: "holder", server).status == 200)
    #expect(try await send(release, by: "both", server).status == 403)
    try await server.stop()
  }

  /// As before there were identities.
  @Test func withoutAPolicyWhoKnowsAnOwnersNameMayFreeItsGrant() async throws {
    let access = try AccessControl(AccessControl.Sources(tokens: folder.path("tokens")))
    let server = try await InProcessServer.start(store: folder.file) { $0.access = access }
    let (take, free) = (
      try #require(Action.acquire.call(wire: 3, key: "k")),
      try #require(Action.release.call(wire: 3, key: "k"))
    )
    #expect(
      try await HTTPVersion.http2.send(shown(take, by: tokens["both"]), port: server.port).status
        == 200)
    #expect(try await HTTPVersion.http2.send(free, port: server.port).status == 200)
    try await server.stop()
  }

  @Test func onlyOperatorsSeeHowTheServerIs() async throws {
    let server = try await server()
    func status(_ path: String, _ name: String?) async throws -> Int {
      let call = Call(method: "GET", path: path, headers: [], body: [])
      return try await HTTPVersion.http1.send(
        shown(call, by: name.flatMap { tokens[$0] }), port: server.port
      ).status
    }
    #expect(try await status("/status", "operator") == 200)
    #expect(try await status("/status", "both") == 403)
    #expect(try await status("/status", nil) == 403)
    for path in ["/healthz", "/readyz"] { #expect(try await status(path, nil) == 200) }
    try await server.stop()
  }

  /// Of the rights and proofs of the beginning nothing may be left.
  ///
  /// - Parameter policy: What is left of it for who waits; nil where there never was one.
  @Test(arguments: ["token:holder read *", "token:holder hold *", nil])
  func whoMayNotHoldAnyMoreIsNotGrantedWhatItWaitedFor(_ policy: String?) async throws {
    try folder.write("token:holder hold *\ntoken:both hold *", to: "policy")
    let server = try await server(hasPolicy: policy != nil)
    let take = try #require(Action.acquire.call(wire: 3, key: "k"))
    #expect(
      try await HTTPVersion.http2.send(shown(take, by: tokens["both"]), port: server.port).status
        == 200)
    let wait = Call.json(
      "Acquire", #"{"key":"k","owner":"w","lease":"60s","wait":"60s"}"#, wire: 3)
    async let waiting = HTTPVersion.http2.send(
      shown(wait, by: tokens["holder"]), port: server.port)
    try await server.waitUntil(waiting: 1)
    if let policy { try folder.write(policy + "\ntoken:both hold *", to: "policy") }
    if policy?.contains("hold") ?? true {
      let others = tokens.filter { $0.key != "holder" }
      try folder.write(
        others.map { Tokens.line(for: $1, name: $0) }.joined(separator: "\n"), to: "tokens")
    }
    while try await ![401, 403].contains(
      HTTPVersion.http2.send(
        shown(Action.acquire.call(wire: 3, key: "other")!, by: tokens["holder"]), port: server.port
      ).status)
    {
      #expect(server.reload())
    }
    let release = try #require(Action.release.call(wire: 3, key: "k"))
    #expect(
      try await HTTPVersion.http2.send(shown(release, by: tokens["both"]), port: server.port).status
        == 200)
    #expect(try await [401, 403].contains(waiting.status))
    // What it was granted for a moment is free again.
    while try await HTTPVersion.http2.send(shown(take, by: tokens["both"]), port: server.port)
      .status != 200
    {}
    try await server.stop()
  }

  /// Whoever holds it then is none of its business.
  @Test func whoIsNotKnownAnyMoreIsNotToldForWhomItWaited() async throws {
    try folder.write("token:holder hold *\ntoken:both hold *", to: "policy")
    let server = try await server()
    let take = try #require(Action.acquire.call(wire: 3, key: "k"))
    #expect(
      try await HTTPVersion.http2.send(shown(take, by: tokens["both"]), port: server.port).status
        == 200)
    let wait = Call.json("Acquire", #"{"key":"k","owner":"w","lease":"60s","wait":"3s"}"#, wire: 3)
    async let waiting = HTTPVersion.http2.send(
      shown(wait, by: tokens["holder"]), port: server.port)
    try await server.waitUntil(waiting: 1)
    // Its token is somebody else's from now on.
    try folder.write(
      tokens.map { Tokens.line(for: $1, name: $0 == "holder" ? "other" : $0) }
        .joined(separator: "\n"), to: "tokens")
    while try await HTTPVersion.http2.send(
      shown(Action.acquire.call(wire: 3, key: "other")!, by: tokens["holder"]), port: server.port
    ).status != 403 {
      #expect(server.reload())
    }
    let answer = try await waiting
    #expect(answer.status == 401)
    #expect(!String(decoding: answer.body, as: UTF8.self).contains("held-by-another"))
    try await server.stop()
  }

  @Test func aPolicyThatCannotBeUsedKeepsNoTokenAlive() async throws {
    try folder.write("token:holder hold *\ntoken:both hold *", to: "policy")
    let server = try await server()
    let take = shown(Action.acquire.call(wire: 3, key: "k")!, by: tokens["holder"])
    #expect(try await HTTPVersion.http2.send(take, port: server.port).status == 200)
    try folder.write("rubbish", to: "policy")
    let others = tokens.filter { $0.key != "holder" }
    try folder.write(
      others.map { Tokens.line(for: $1, name: $0) }.joined(separator: "\n"), to: "tokens")
    while try await HTTPVersion.http2.send(take, port: server.port).status != 401 {
      #expect(server.reload())
    }
    let other = shown(Action.acquire.call(wire: 3, key: "k2")!, by: tokens["both"])
    #expect(try await HTTPVersion.http2.send(other, port: server.port).status == 200)
    try await server.stop()
  }

  @Test func twoProofsAreNone() async throws {
    let server = try await server()
    var call = shown(try #require(Action.acquire.call(wire: 3, key: "a/k")), by: tokens["holder"])
    call.headers.append(("authorization", "Bearer \(tokens["both"]!)"))
    for http in HTTPVersion.allCases {
      #expect(try await http.send(call, port: server.port).status == 401)
    }
    try await server.stop()
  }

  @Test func aNewPolicyIsUsedWithoutARequestLost() async throws {
    try folder.write("token:holder hold *", to: "policy")
    let server = try await server()
    let call = shown(Action.acquire.call(wire: 3, key: "b/k")!, by: tokens["holder"])
    for round in 0..<10 {
      // What cannot be used changes nothing.
      let text = round % 2 == 0 ? "token:holder hold b/*\n# \(round)" : "rubbish"
      try folder.write(text, to: "policy")
      #expect(server.reload())
      for _ in 0..<5 {
        #expect(try await HTTPVersion.http2.send(call, port: server.port).status == 200)
      }
    }
    try folder.write("token:holder hold c/*", to: "policy")
    while try await HTTPVersion.http2.send(call, port: server.port).status != 403 {
      #expect(server.reload())
    }
    try await server.stop()
  }
}

extension String {
  /// How often it has `part`.
  fileprivate func components(of part: String) -> Int { ranges(of: part).count }
}
