import LockContent
import LockCore
import Testing

/// The rules of locks, case by case.
@Suite struct DecisionTests {
  static func holder(_ owner: String) -> Holder {
    Holder(kind: .lock, owner: owner, content: "", lease: Lease(seconds: 15)!)
  }

  static func claim(_ owner: String) -> Claim {
    Claim(kind: .lock, owner: owner, lease: Lease(seconds: 15)!, content: "")
  }

  static func record(_ owner: String?, token: Int64, revision: Int64) -> LockRecord {
    LockRecord(key: "key", holder: owner.map { holder($0) }, token: token, revision: revision)
  }

  struct ClaimCase: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var record: LockRecord?
    var floor: Int64 = 0
    var verdict: ClaimVerdict
  }

  static let claims = [
    ClaimCase(
      testDescription: "a new key", record: nil,
      verdict: .granted(record("a", token: 1, revision: 1))),
    ClaimCase(
      testDescription: "a new key above the floor", record: nil, floor: 41,
      verdict: .granted(record("a", token: 42, revision: 1))),
    ClaimCase(
      testDescription: "a free key", record: record(nil, token: 7, revision: 9), floor: 3,
      verdict: .granted(record("a", token: 8, revision: 10))),
    ClaimCase(
      testDescription: "a free key below the floor", record: record(nil, token: 7, revision: 9),
      floor: 100, verdict: .granted(record("a", token: 101, revision: 10))),
    ClaimCase(
      testDescription: "the owner's own", record: record("a", token: 7, revision: 9), floor: 100,
      verdict: .renewed(record("a", token: 7, revision: 10))),
    ClaimCase(
      testDescription: "another's", record: record("b", token: 7, revision: 9),
      verdict: .refused(.heldByAnother)),
    ClaimCase(
      testDescription: "one whose owner only looks the same",
      record: record("a\u{300}", token: 7, revision: 9), verdict: .refused(.heldByAnother)),
    ClaimCase(
      testDescription: "the last token", record: record(nil, token: .max - 1, revision: 9),
      verdict: .granted(record("a", token: .max, revision: 10))),
    ClaimCase(
      testDescription: "no token left", record: record(nil, token: .max, revision: 9),
      verdict: .refused(.numbersExhausted)),
    ClaimCase(
      testDescription: "no floor left", record: nil, floor: .max,
      verdict: .refused(.numbersExhausted)),
    ClaimCase(
      testDescription: "a renewal needs no token", record: record("a", token: .max, revision: 9),
      verdict: .renewed(record("a", token: .max, revision: 10))),
    ClaimCase(
      testDescription: "no revision left", record: record("a", token: 7, revision: .max),
      verdict: .refused(.numbersExhausted)),
    ClaimCase(
      testDescription: "no revision left for a grant",
      record: record(nil, token: 7, revision: .max), verdict: .refused(.numbersExhausted)),
  ]

  @Test(arguments: claims) func claim(_ claim: ClaimCase) {
    let verdict = Decisions.claim(
      key: "key", Self.claim("a"), on: claim.record, tokenFloor: claim.floor)
    #expect(verdict == claim.verdict)
  }

  @Test func namesThatLookTheSameAreOthers() {
    let held = Self.record("\u{E9}", token: 1, revision: 1)
    let decomposed = "e\u{301}"
    #expect(
      Decisions.claim(key: "key", Self.claim(decomposed), on: held, tokenFloor: 0)
        == .refused(.heldByAnother))
    #expect(Decisions.release(GrantName(owner: decomposed), on: held) == .refused(.notTheHolder))
  }

  @Test func aRenewalBringsItsOwnHolder() {
    let held = Self.record("a", token: 1, revision: 1)
    let claim = Claim(kind: .presence, owner: "a", lease: Lease(seconds: 1)!, content: "v")
    let next = Holder(kind: .presence, owner: "a", content: "v", lease: Lease(seconds: 1)!)
    let verdict = Decisions.claim(key: "key", claim, on: held, tokenFloor: 0)
    #expect(verdict == .renewed(LockRecord(key: "key", holder: next, token: 1, revision: 2)))
  }

  @Test func aRenewalKeepsWhatItDoesNotName() {
    var held = Self.record("a", token: 1, revision: 1)
    held.holder!.content = "v"
    held.holder!.labels = ["team": "billing", "old": "x"]
    held.holder!.grantedAt = StatedTime(seconds: 1, nanoseconds: 2)
    var next = held
    next.revision = 2
    next.holder!.labels = ["team": "billing", "new": "y"]
    let labels = ["old": "", "new": "y", "none": ""]
    let claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 15)!, labels: labels)
    #expect(Decisions.claim(key: "key", claim, on: held, tokenFloor: 0) == .renewed(next))
    #expect(Decisions.renew(token: 1, lease: nil, labels: labels, on: held) == .renewed(next))
    // A new grant keeps nothing of the one before.
    held.holder = nil
    guard case .granted(let granted) = Decisions.claim(key: "key", claim, on: held, tokenFloor: 0)
    else {
      Issue.record("a free key was not granted")
      return
    }
    #expect(granted.holder!.labels == ["new": "y"])
    #expect(granted.holder!.content == .empty && granted.holder!.grantedAt == nil)
  }

  @Test func labelsHaveABound() {
    var held = Self.record("a", token: 1, revision: 1)
    for number in 1...NameLimits.labelsMax { held.holder!.labels["\(number)"] = "x" }
    for (labels, isTooMany) in [
      (["more": "x"], true), (["1": ""], false), (["1": "", "b": "y"], false),
    ] {
      let claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 15)!, labels: labels)
      let claimed = Decisions.claim(key: "key", claim, on: held, tokenFloor: 0)
      let renewed = Decisions.renew(token: 1, lease: nil, labels: labels, on: held)
      #expect((claimed == .refused(.tooManyLabels)) == isTooMany)
      #expect((renewed == .refused(.tooManyLabels)) == isTooMany)
    }
  }

  @Test(arguments: [
    (nil, ReleaseVerdict.alreadyFree),
    (record(nil, token: 7, revision: 9), .alreadyFree),
    (record("b", token: 7, revision: 9), .refused(.notTheHolder)),
    (record("a", token: 7, revision: 9), .released(record(nil, token: 7, revision: 10))),
    (record("a", token: 7, revision: .max), .refused(.numbersExhausted)),
  ])
  func release(_ record: LockRecord?, _ verdict: ReleaseVerdict) {
    #expect(Decisions.release(GrantName(owner: "a"), on: record) == verdict)
  }

  @Test(arguments: [
    (record("a", token: 7, revision: 9), record(nil, token: 7, revision: 10)),
    (record("a", token: 7, revision: 10), nil),
    (record("a", token: 8, revision: 9), nil),
    (record(nil, token: 7, revision: 9), nil),
    (nil, nil),
  ])
  func expiryNeedsTheStateThatWasSeen(_ record: LockRecord?, _ freed: LockRecord?) {
    let sighting = Sighting(token: 7, revision: 9)
    #expect(Decisions.expire(seenAs: sighting, on: record) == freed)
  }
}
