import HTTP2
import Testing

@Suite struct ArrivalBudgetTests {
  private static let mebibyte = 1 << 20

  @Test func smallRequestsTakeNothingOfTheBudget() {
    let budget = ArrivalBudget()
    var share = ArrivalBudget.Share(of: budget, bytesMax: Self.mebibyte)
    let isTaken = share.take(ArrivalBudget.freeBytes)
    #expect(isTaken && budget.bytesUsed == 0)
    share.giveBack(ArrivalBudget.freeBytes)
    #expect(share.bytesUsed == 0 && budget.bytesUsed == 0)
  }

  @Test func whatIsTakenCountsAndIsGivenBack() {
    let budget = ArrivalBudget()
    var share = ArrivalBudget.Share(of: budget, bytesMax: 2 * Self.mebibyte)
    for _ in 0..<1_000 {
      let isTaken = share.take(1_000)
      #expect(isTaken)
    }
    #expect(share.bytesUsed == 1_000_000)
    #expect(budget.bytesUsed >= 1_000_000 - ArrivalBudget.freeBytes)
    #expect(budget.bytesUsed < 1_100_000)
    for _ in 0..<997 { share.giveBack(1_000) }
    #expect(share.bytesUsed == 3_000 && budget.bytesUsed == 0)
    #expect(budget.takePeak() >= 990_000)
    #expect(budget.takePeak() == 0)
  }

  @Test func aConnectionHasABoundOfItsOwn() {
    let budget = ArrivalBudget()
    for bytesMax in [100, ArrivalBudget.freeBytes, Self.mebibyte] {
      var share = ArrivalBudget.Share(of: budget, bytesMax: bytesMax)
      let isTaken = share.take(bytesMax)
      let isMore = share.take(1)
      #expect(isTaken && !isMore)
      share.giveBack(1)
      let isTakenAgain = share.take(1)
      #expect(isTakenAgain && share.bytesUsed == bytesMax)
    }
  }

  @Test func theEndOfAConnectionGivesAllBack() {
    let budget = ArrivalBudget()
    do {
      var share = ArrivalBudget.Share(of: budget, bytesMax: Self.mebibyte)
      _ = share.take(Self.mebibyte)
      #expect(budget.bytesUsed > 0)
    }
    #expect(budget.bytesUsed == 0)
  }

  @Test(arguments: [1, 10, 100, 1_000])
  func theGreedyLeaveAsMuchAsTheyHaveToEachNewcomer(count: Int) {
    let bytesMax = 256 * Self.mebibyte
    let budget = ArrivalBudget(bytesMax: bytesMax)
    let greedy = (0..<count).map { _ in Connection(budget) }
    var isGrowing = true
    while isGrowing {
      isGrowing = false
      for connection in greedy where connection.take() { isGrowing = true }
    }
    #expect(budget.bytesUsed <= bytesMax)
    let newcomer = Connection(budget)
    while newcomer.take() {}
    let smallest = greedy.map(\.bytesUsed).min() ?? 0
    #expect(newcomer.bytesUsed >= smallest / 2)
    #expect(newcomer.bytesUsed >= 8 * ArrivalBudget.freeBytes)
    #expect(budget.bytesUsed <= bytesMax)
  }

  private final class Connection {
    private var share: ArrivalBudget.Share

    init(_ budget: ArrivalBudget) {
      share = ArrivalBudget.Share(of: budget, bytesMax: 16 * ArrivalBudgetTests.mebibyte)
    }

    var bytesUsed: Int { share.bytesUsed }
    func take() -> Bool { share.take(1_024) }
  }
}
