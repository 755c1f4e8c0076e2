import LockContent
import LockCore
import NIOCore
import TestKit
import Testing
import WireSchema

@testable import LatchkeyServer

/// What long answers may take together, and that nobody works for a peer that is gone.
@Suite struct ListBoundTests {
  private static func record(_ key: String, value: String = "") -> LockRecord {
    let holder = Holder(
      kind: .lock, owner: "o", content: Content(text: value), lease: Lease(seconds: 60)!)
    return LockRecord(key: key, holder: holder, token: 1, revision: 1)
  }

  @Test func aShareGivesBackWhatItTookWhenItGoes() {
    let budget = AnswerBudget(bytesMax: 10)
    var first: AnswerBudget.Share? = budget.share()
    let second = budget.share()
    #expect(first?.take(7) == true)
    #expect(!second.take(4))
    #expect(second.take(3))
    first = nil
    #expect(second.take(7))
    #expect(!second.take(1))
  }

  @Test func aConnectionTakesNoMoreThanItsOwnAndTheServersPart() {
    let server = AnswerBudget(bytesMax: 10)
    let connections = (1...2).map { _ in AnswerBudget(bytesMax: 7, parent: server) }
    let first = connections[0].share()
    #expect(!first.take(8))
    #expect(first.take(6))
    var second: AnswerBudget.Share? = connections[1].share()
    #expect(second?.take(5) == false)
    #expect(second?.take(4) == true)
    #expect(server.bytesUsed == 10)
    second = nil
    #expect(server.bytesUsed == 6 && connections[1].bytesUsed == 0)
  }

  @Test(arguments: Codec.allCases)
  func aListIsWhatItsPagesHold(_ codec: Codec) throws {
    for pages in [[], [1], [2, 1], [1, 1, 1]] {
      let share = AnswerBudget(bytesMax: .max).share()
      let lists = (
        v1: ResourceList(of: .v1, codec: codec, share: share),
        v2: ResourceList(of: .v2, codec: codec, share: share)
      )
      var keys: [String] = []
      for count in pages {
        let page = (0..<count).map { "key-\(keys.count + $0)" }
        keys += page
        let records = page.map { Self.record($0) }
        #expect(lists.v1.append(records) && lists.v2.append(records))
      }
      let v1 = try codec.decode(
        Latchkey_V1_FetchAllResponse.self, from: lists.v1.takeBody(.complete))
      #expect(v1.resources.map(\.key) == keys)
      let v2 = try codec.decode(Latchkey_V2_ListResponse.self, from: lists.v2.takeBody(.more))
      #expect(v2.resources.map(\.key) == keys)
      #expect(v2.resources.allSatisfy { $0.token == 1 && $0.lease.seconds == 60 })
      #expect(v2.more)
    }
  }

  /// v1 has to have it all; v2 goes on where it was cut.
  @Test(arguments: Codec.allCases)
  func aListNeverExceedsItsBound(_ codec: Codec) throws {
    let bytesMax = 100_000
    let page = (1...500).map { Self.record("key-\($0)", value: String(repeating: "v", count: 900)) }
    let share = AnswerBudget(bytesMax: .max).share()
    let v2 = ResourceList(of: .v2, codec: codec, share: share, bytesMax: bytesMax)
    #expect(!v2.append(page))
    let body = try v2.takeBody(.stopped)
    #expect(body.count <= bytesMax && body.count > bytesMax - 2_000)
    let message = try codec.decode(Latchkey_V2_ListResponse.self, from: body)
    #expect(message.more)
    #expect(message.resources.map(\.key) == page.prefix(message.resources.count).map(\.key))

    let v1 = ResourceList(of: .v1, codec: codec, share: share, bytesMax: bytesMax)
    #expect(!v1.append(page))
    #expect(
      throws: RPCError(.resourceExhausted, "the list is longer than 67108864 bytes")
    ) { _ = try v1.takeBody(.stopped) }
  }

  @Test func aListThatFindsNoRoomSaysSo() {
    let budget = AnswerBudget(bytesMax: 100)
    let (waiting, share) = (budget.share(), budget.share())
    #expect(waiting.take(100))
    let list = ResourceList(of: .v1, codec: .json, share: share)
    #expect(!list.append([Self.record("key")]))
    #expect(throws: RPCError.noRoom) { _ = try list.takeBody(.stopped) }
  }

  @Test func nobodyWorksForAPeerThatIsGone() {
    var share: AnswerBudget.Share? = AnswerBudget(bytesMax: .max).share()
    let list = ResourceList(of: .v1, codec: .json, share: share!)
    #expect(list.append([Self.record("key-1")]))
    share = nil
    #expect(!list.append([Self.record("key-2")]))
  }
}

extension Endpoint {
  fileprivate static let v1 = listing(V1.path(of: .fetchAll))
  fileprivate static let v2 = listing(V2.path(of: .list))

  private static func listing(_ path: String) -> Endpoint { all.first { $0.path == path }! }
}
