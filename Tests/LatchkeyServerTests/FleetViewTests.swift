import LockContent
import LockCore
import Testing
import WireSchema

@testable import LatchkeyServer

/// What a server concludes from who lives.
@Suite("The view of the fleet")
struct FleetViewTests {
  private static func member(
    _ id: String, _ software: String, wire: ClosedRange<UInt32>, shape: UInt32, kept: UInt32 = 0
  ) -> FleetView.Member {
    FleetView.Member(
      serverID: id, run: "1",
      presence: .with {
        $0.software = software
        $0.wireOldest = wire.lowerBound
        $0.wireNewest = wire.upperBound
        $0.shapeOldest = 1
        $0.shapeNewest = shape
        $0.shapeKept = kept
      })
  }

  private static let first = member("a", "0.1.0", wire: 1...1, shape: 1)
  private static let second = member("b", "0.2.0", wire: 1...2, shape: 1)
  private static let third = member("c", "0.3.0", wire: 1...3, shape: 2, kept: 1)
  private static let later = member("d", "0.9.0", wire: 3...7, shape: 4, kept: 2)
  private static let foreign = member("e", "9.9.9", wire: 8...9, shape: 9)
  private static let silent = FleetView.Member(serverID: "f", run: "1", presence: .init())

  @Test(
    "the wire versions that all servers speak are offered",
    arguments: [
      ([], 1...3, "this release speaks v1 to v3"),
      ([third], 1...3, "this release speaks v1 to v3"),
      ([third, second], 1...2, "server b (0.2.0) speaks v1 to v2, this one v1 to v3"),
      ([second, first], 1...1, "server a (0.1.0) speaks v1, this one v1 to v3"),
      ([later], 3...3, "server d (0.9.0) speaks v3 to v7, this one v1 to v3"),
      // With whom there is nothing in common there is nothing to be offered either.
      ([foreign, second], 1...2, "server b (0.2.0) speaks v1 to v2, this one v1 to v3"),
      ([later, first], 3...3, "server d (0.9.0) speaks v3 to v7, this one v1 to v3"),
      ([silent], 1...3, "this release speaks v1 to v3"),
    ] as [([FleetView.Member], ClosedRange<UInt32>, String)])
  func offer(_ members: [FleetView.Member], _ range: ClosedRange<UInt32>, _ reason: String) {
    let offer = FleetView(members).offer(of: WireRange(oldest: 1, newest: 3)!)
    #expect(offer.range.oldest == range.lowerBound && offer.range.newest == range.upperBound)
    #expect(offer.reason == reason)
  }

  @Test(
    "a shape is needed as long as anybody, or what it may be rolled back to, knows no newer one",
    arguments: [
      ([], 1, 2, "so that this server can be rolled back to 0.5.0"),
      ([], 0, 2, "so that this server can be rolled back to 0.6.0"),
      ([], 2, 2, "so that this server can be rolled back to 0.4.0"),
      ([], 4, 1, "so that this server can be rolled back to 0.2.0"),
      ([], 9, 1, "so that this server can be rolled back to 0.1.0"),
      ([second], 0, 1, "for server b (0.2.0)"),
      ([third], 0, 1, "for server c (0.3.0)"),
      ([later], 0, 2, "so that this server can be rolled back to 0.6.0"),
      ([later, first], 0, 1, "for server a (0.1.0)"),
      ([silent], 0, 1, "for server f (unknown release)"),
    ] as [([FleetView.Member], Int, Int64, String)])
  func needed(_ members: [FleetView.Member], _ allowance: Int, _ shape: Int64, _ reason: String) {
    let needed = FleetView(members).shapeNeeded(RollbackAllowance(releases: allowance), newest: 2)
    #expect(needed.shape == shape && needed.reason == reason)
  }

  @Test("presences are read from rows; who says nothing that can be read is there all the same")
  func rows() {
    func record(_ name: String, _ value: String) -> LockRecord {
      LockRecord(
        key: "_latchkey/servers/\(name)",
        holder: Holder(
          kind: .presence, owner: name, content: Content(text: value), lease: .longest),
        token: 1, revision: 1)
    }
    let view = FleetView([
      record("a/1f", #"{"software":"0.9.0","wireNewest":9,"later":[1]}"#), record("b", "rubbish"),
      LockRecord(key: "_latchkey/servers/gone/1", holder: nil, token: 1, revision: 1),
    ])
    #expect(view.members.map(\.serverID) == ["a", "b"])
    #expect(view.members.map(\.run) == ["1f", ""])
    #expect(view.members.map(\.presence.wireNewest) == [9, 0])
    #expect(view.without("a/1f").members.map(\.serverID) == ["b"])
    #expect(view.without("a/2").members.count == 2)
  }

  @Test("what another server says of itself is bounded: it goes into this one's frames")
  func foreignText() {
    let long = String(repeating: "x", count: 60_000)
    let record = LockRecord(
      key: "_latchkey/servers/\(String(repeating: "i", count: 400))/1",
      holder: Holder(
        kind: .presence, owner: "o",
        content: Content(text: #"{"software":"\#(long)","wireOldest":1,"wireNewest":2}"#),
        lease: .longest),
      token: 1, revision: 1)
    let view = FleetView([record])
    let (range, reason) = view.offer(of: WireRange(oldest: 1, newest: 3)!)
    #expect(range.newest == 2 && reason.utf8.count < 400)
  }
}
