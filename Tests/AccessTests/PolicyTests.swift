import Access
import Testing

@Suite struct PolicyTests {
  private static func policy(_ text: String) throws -> Policy {
    try Policy(reading: Array(text.utf8))
  }

  private static let example = """
    # who                                rights           keys
    spiffe://example.org/ns/*/scheduler  read,hold        jobs/*
    token:deployer                       read,hold,break  migrations/*   # all of them
    user:root                            operate
    anybody                              read             public/motd
    nobody                               read             "open house/"*
    somebody                             hold             "a*b"
    somebody                             hold             "a\\u002a"
    user:root operate\r
    """

  @Test(
    arguments: [
      ("spiffe://example.org/ns/a/scheduler", Right.hold, "jobs/1", true),
      ("spiffe://example.org/ns/a/scheduler", .read, "jobs/", true),
      ("spiffe://example.org/ns/a/scheduler", .break, "jobs/1", false),
      ("spiffe://example.org/ns/a/scheduler", .hold, "jobs", false),
      ("spiffe://example.org/ns/a/b/scheduler", .hold, "jobs/1", false),
      ("spiffe://example.org/ns/a/scheduler/b", .hold, "jobs/1", false),
      ("token:deployer", .break, "migrations/x", true),
      ("token:deployers", .break, "migrations/x", false),
      ("user:root", .operate, "", true),
      ("token:deployer", .operate, "", false),
      ("token:deployer", .read, "public/motd", true),
      ("token:deployer", .read, "public/motd2", false),
      (nil, .read, "public/motd", true),
      (nil, .read, "open house/1", true),
      ("user:root", .read, "open house/1", false),
      ("user:root", .hold, "a*b", true),
      ("user:root", .hold, "axb", false),
      (nil, .hold, "a*b", false),
      ("user:root", .hold, "a*", true),
      ("user:root", .hold, "ab", false),
    ] as [(String?, Right, String, Bool)])
  func rightsAreAsTheFileSays(
    _ name: String?, _ right: Right, _ key: String, _ isAllowed: Bool
  ) throws {
    let policy = try Self.policy(Self.example)
    let identity = name.map { Identity($0)! }
    #expect(policy.permissions(of: identity).may(right, on: key) == isAllowed)
    #expect((policy.rule(giving: right, on: key, to: identity) != nil) == isAllowed)
  }

  @Test func aRuleIsToldWithItsLine() throws {
    let policy = try Self.policy(Self.example)
    let rule = policy.rule(giving: .break, on: "migrations/1", to: Identity("token:deployer"))
    #expect(rule?.line == 3)
    #expect(rule?.text.hasPrefix("token:deployer") == true)
  }

  @Test(arguments: [
    ("token:a", "a rule says who, which rights, and on which keys: the rights are missing"),
    (
      "token:a hold \"my jobs/*\"",
      "in quotation marks a * is part of a key: write \"my jobs/\"* for all that begin so, or "
        + "\"my jobs/\\u002a\" for this one"
    ),
    (
      "\"cn:Some Name\" hold a",
      "\"cn:Some Name\" names nobody: a name has 1 to 512 bytes, all visible, and no blank; who has one in its "
        + "certificate is not known by it"
    ),
    ("token:a write jobs/*", "\"write\" is no right; there are read, hold, break, operate"),
    (
      "deployer read *",
      "\"deployer\" names nobody; names are like token:deployer, jwt:deployer, user:deployer, dns:deployer, cn:deployer or a URI, and anybody, somebody and nobody are words"
    ),
    (
      "token:a read,,hold jobs/*",
      "a right is missing; they are written with commas alone: read,hold"
    ),
    (
      "token:a read, hold jobs/*",
      "a right is missing; they are written with commas alone: read,hold"
    ),
    ("token: read *", "\"token:\" names nobody: there is nothing behind token:"),
    (
      "uid:root read *",
      "\"uid:root\" names nobody: behind uid: stands a number, and names behind user:"
    ),
    (
      "tokn:a read *",
      "\"tokn:\" is no kind of name; names begin with token:, jwt:, user:, uid:, dns:, cn:, uri: or are URIs such as spiffe://example.org/a"
    ),
    (
      "limits token:a held=1",
      "\"limits\" names nobody; names are like token:limits, jwt:limits, user:limits, dns:limits, cn:limits or a URI, and anybody, somebody and nobody are words"
    ),
    ("token:a operate x", "operate is not bound to keys: nothing follows it"),
    ("token:a read \"\"", "no key is empty"),
    (
      "token:a read a*b",
      "a * stands at the end of a key, for all that begin so; where it is part of a key, write \"a*b\""
    ),
    (
      "token:a read *x/*",
      "a * stands at the end of a key, for all that begin so; where it is part of a key, write \"*x/\"*"
    ),
    (
      "token:a read",
      "on which keys? Write jobs/* for all that begin with jobs/, or * for all there are"
    ),
    ("token:a read a b", "\"b\" is one word too many"),
    ("token:a read \"a", "a quotation mark has no other one"),
    ("token:a read \"a\"b", "a blank is missing behind a quotation mark"),
    ("token:a read a\"b", "a quotation mark stands at the beginning of a word or not at all"),
    ("token:a read \"a\\x\"", "behind \\ stands one of \" \\ t, or u with four digits"),
  ])
  func whatIsNotUnderstoodIsNamedWithItsLine(_ line: String, _ reason: String) {
    let error = #expect(throws: LineError.self) { try Self.policy("# rules\n\n\(line)\n") }
    #expect(error?.line == 3)
    #expect(error?.reason == reason)
    #expect(error.map { "\($0)" } == "line 3: \(reason)")
  }

  @Test func ofEachLimitTheFirstLineCounts() throws {
    let policy = try Self.policy(
      """
      limit token:ci/7  requests=5
      limit token:ci/*  held=100,waiting=20,requests=50   # each of them
      limit anybody     waiting=0
      token:ci/7        hold  *
      """)
    func limits(_ name: String) -> Limits {
      policy.permissions(of: Identity(name)).limits
    }
    #expect(limits("token:ci/7") == Limits(held: 100, waiting: 20, requests: 5))
    #expect(limits("token:ci/8") == Limits(held: 100, waiting: 20, requests: 50))
    #expect(limits("token:other") == Limits(waiting: 0))
    #expect(policy.permissions(of: nil).limits == Limits(waiting: 0))
    #expect(policy.limitLines(of: Identity("token:ci/7")).map(\.line) == [1, 2, 3])
    #expect(policy.rules.count == 1)
  }

  @Test(arguments: [
    ("limit", "a limit says whose"), ("limit token:a", "a limit says whose"),
    ("limit a held=1", "names nobody"), ("limit token:a hold=1", "\"hold\" is no limit"),
    ("limit token:a held", "held is a number"), ("limit token:a held=", "held is a number"),
    ("limit token:a held=-1", "held is a number"), ("limit token:a held=1.5", "held is a number"),
    ("limit token:a held=10000000000", "held is a number"),
    ("limit token:a held=1, waiting=2", "\"\" is no limit"),
    ("limit token:a held=1 *", "one word too many"), ("limit nobody held=1", "is for names"),
    ("limit token:a held=1,held=2", "said twice"), ("limit token:a held=1", "there is no rule"),
    ("# nothing", "there is no rule"),
  ])
  func limitsThatAreNotUnderstoodAreNamed(_ line: String, _ reason: String) {
    do {
      _ = try Self.policy(line)
      Issue.record("\(line) is understood")
    } catch {
      #expect("\(error)".contains(reason), "\(error)")
    }
  }

  /// Or a peer with many names would take much memory.
  @Test func whomTheSameLinesAreAboutShareWhatTheyMay() throws {
    var shared = SharedPermissions(
      of: try Self.policy(
        """
        limit token:b  held=1
        token:*   hold  a/*
        token:c*  read  *
        """))
    func may(_ name: String) -> Permissions { shared.permissions(of: Identity(name)!) }
    #expect(may("token:x") === may("token:y") && may("token:c1") === may("token:c2"))
    #expect(may("token:x") !== may("token:b") && may("token:x") !== may("token:c1"))
    #expect(may("token:b").limits == Limits(held: 1) && may("token:x").limits == Limits())
    for number in 0..<SharedPermissions.linesMax where !shared.isFull {
      #expect(!shared.permissions(of: Identity("token:c\(number)")!).may(.hold, on: "b"))
    }
    #expect(!shared.isFull)
  }

  @Test func whatIsNoTextIsRefused() {
    for bytes: [UInt8] in [[0xff], [0x61, 0, 0x62]] {
      #expect(throws: LineError.self) { try Policy(reading: bytes) }
    }
  }

  /// Two spellings of one letter are two names, as they are for the store.
  @Test func namesAreComparedByTheirBytes() throws {
    let policy = try Self.policy("token:\u{e9} hold \u{e9}*\n")
    #expect(policy.permissions(of: Identity("token:\u{e9}")).may(.hold, on: "\u{e9}t\u{e9}"))
    #expect(!policy.permissions(of: Identity("token:e\u{301}")).may(.hold, on: "\u{e9}"))
    #expect(!policy.permissions(of: Identity("token:\u{e9}")).may(.hold, on: "e\u{301}"))
  }

  @Test(arguments: [
    "", " ", "a b", "a\n", "\u{200b}", "a\u{7f}", String(repeating: "a", count: 513),
  ])
  func whatCannotBeSeenIsNoIdentity(_ name: String) { #expect(Identity(name) == nil) }

  @Test func starsMatchWithinAPart() {
    func matches(_ pattern: String, _ name: String) -> Bool {
      IdentityPattern(pattern).matches(Identity(name)!)
    }
    #expect(matches("dns:*.example.org", "dns:a.b.example.org"))
    #expect(!matches("dns:*.example.org", "dns:example.org"))
    #expect(matches("jwt:system:serviceaccount:*:web", "jwt:system:serviceaccount:prod:web"))
    #expect(!matches("jwt:*:web", "jwt:system:serviceaccount:prod:web"))
    #expect(matches("*:*", "user:a") && !matches("*", "user:a"))
    #expect(matches("user:a*b*c", "user:aXbYbc") && !matches("user:a*b*c", "user:aXbY"))
  }

  /// Whoever writes patterns cannot make a server work for long.
  @Test func aPatternOfStarsEnds() {
    let pattern = String(repeating: "a*", count: 200) + "b"
    #expect(!IdentityPattern(pattern).matches(Identity(String(repeating: "a", count: 512))!))
  }
}
