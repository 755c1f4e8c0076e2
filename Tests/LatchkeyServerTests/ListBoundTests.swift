import LockCore
import NIOCore
import RPC
import TestKit
import Testing
import WireSchema

@testable import LatchkeyServer

/// What long answers may take together, and that nobody works for a peer that is gone.
@Suite struct ListBoundTests {
  private static func record(_ key: String, value: String = "") -> LockRecord {
    let holder = Holder(kind: .lock, owner: "o", value: value, lease: Lease(seconds: 60)!)
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
      let list = ResourceListV1(codec: codec, share: share)
      var keys: [String] = []
      for count in pages {
        let page = (0..<count).map { "key-\(keys.count + $0)" }
        keys += page
        #expect(list.append(page.map { Self.record($0) }))
      }
      let message = try codec.decode(Latchkey_V1_FetchAllResponse.self, from: list.takeBody())
      #expect(message.resources.map(\.key) == keys)
    }
  }

  @Test(arguments: Codec.allCases)
  func aListNeverExceedsItsBound(_ codec: Codec) {
    let share = AnswerBudget(bytesMax: .max).share()
    let list = ResourceListV1(codec: codec, share: share)
    let value = String(repeating: "v", count: NameLimits.valueBytesMax)
    var pages = 0
    while list.append([Self.record("key", value: value)]) { pages += 1 }
    #expect(list.failure.code == .resourceExhausted)
    #expect(list.failure.message == "the list is longer than 67108864 bytes")
    #expect(pages > ResourceListV1.bytesMax / (NameLimits.valueBytesMax + 200))
  }

  @Test func aListThatFindsNoRoomSaysSo() {
    let budget = AnswerBudget(bytesMax: 100)
    let (waiting, share) = (budget.share(), budget.share())
    #expect(waiting.take(100))
    let list = ResourceListV1(codec: .json, share: share)
    #expect(!list.append([Self.record("key")]))
    #expect(list.failure.code == .resourceExhausted)
    #expect(list.failure.message.contains("wait to be read"))
  }

  @Test func nobodyWorksForAPeerThatIsGone() {
    var share: AnswerBudget.Share? = AnswerBudget(bytesMax: .max).share()
    let list = ResourceListV1(codec: .json, share: share!)
    #expect(list.append([Self.record("key-1")]))
    share = nil
    #expect(!list.append([Self.record("key-2")]))
  }
}
