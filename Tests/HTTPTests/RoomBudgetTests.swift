import HTTP
import Testing

@Suite struct RoomBudgetTests {
  private static let mebibyte = 1 << 20

  @Test func smallRequestsTakeNothingOfTheBudget() {
    let budget = RoomBudget()
    var share = RoomBudget.Share(of: budget, bytesMax: Self.mebibyte)
    let isTaken = share.take(RoomBudget.freeBytes)
    #expect(isTaken && budget.bytesUsed == 0)
    share.giveBack(RoomBudget.freeBytes)
    #expect(share.bytesUsed == 0 && budget.bytesUsed == 0)
  }

  @Test func whatIsTakenCountsAndIsGivenBack() {
    let budget = RoomBudget()
    var share = RoomBudget.Share(of: budget, bytesMax: 2 * Self.mebibyte)
    for _ in 0..<1_000 {
      let isTaken = share.take(1_000)
      #expect(isTaken)
    }
    #expect(share.bytesUsed == 1_000_000)
    #expect(budget.bytesUsed >= 1_000_000 - RoomBudget.freeBytes)
    #expect(budget.bytesUsed < 1_100_000)
    for _ in 0..<997 { share.giveBack(1_000) }
    #expect(share.bytesUsed == 3_000 && budget.bytesUsed == 0)
    #expect(budget.takePeak() >= 990_000)
    #expect(budget.takePeak() == 0)
  }

  @Test func aConnectionHasABoundOfItsOwn() {
    let budget = RoomBudget()
    for bytesMax in [100, RoomBudget.freeBytes, Self.mebibyte] {
      var share = RoomBudget.Share(of: budget, bytesMax: bytesMax)
      let isTaken = share.take(bytesMax)
      let isMore = share.take(1)
      #expect(isTaken && !isMore)
      share.giveBack(1)
      let isTakenAgain = share.take(1)
      #expect(isTakenAgain && share.bytesUsed == bytesMax)
    }
  }

  @Test func theEndOfAConnectionGivesAllBack() {
    let budget = RoomBudget()
    do {
      var share = RoomBudget.Share(of: budget, bytesMax: Self.mebibyte)
      _ = share.take(Self.mebibyte)
      #expect(budget.bytesUsed > 0)
    }
    #expect(budget.bytesUsed == 0)
  }

  @Test(arguments: [1, 10, 100, 1_000], [true, false])
  func theGreedyLeaveAGoodPartToEachNewcomer(count: Int, atOnce: Bool) {
    let bytesMax = 256 * Self.mebibyte
    let budget = RoomBudget(bytesMax: bytesMax)
    let greedy = (0..<count).map { _ in Connection(budget) }
    if atOnce {
      while greedy.count(where: { $0.take() }) > 0 {}
    } else {
      for connection in greedy { while connection.take() {} }
    }
    #expect(budget.bytesUsed <= bytesMax)
    for connection in greedy { connection.leaveRoom() }
    let newcomer = Connection(budget)
    while newcomer.take() {}
    #expect(newcomer.bytesUsed >= (greedy.map(\.bytesUsed).max() ?? 0) / 4)
    #expect(newcomer.bytesUsed >= 8 * RoomBudget.freeBytes)
    #expect(budget.bytesUsed <= bytesMax)
  }

  @Test func theGreedyLeaveARoomForTheModest() {
    let budget = RoomBudget(bytesMax: 64 * Self.mebibyte)
    let greedy = (0..<1_000).map { _ in Connection(budget) }
    for connection in greedy.prefix(100) { while connection.take() {} }
    for _ in 0..<3 {
      let newcomer = Connection(budget)
      while newcomer.take() {}
      #expect(newcomer.bytesUsed >= 20_480)
    }
  }

  private final class Connection {
    private var share: RoomBudget.Share

    init(_ budget: RoomBudget) {
      share = RoomBudget.Share(of: budget, bytesMax: 16 * RoomBudgetTests.mebibyte)
    }

    var bytesUsed: Int { share.bytesUsed }
    func take() -> Bool { share.take(1_024) }
    func leaveRoom() { while share.isAboveItsPart { share.giveBack(1_024) } }
  }
}
