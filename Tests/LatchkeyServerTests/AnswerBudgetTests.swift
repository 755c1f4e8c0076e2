import Testing

@testable import LatchkeyServer

/// Who is slow to read takes room from neither another kind of answers nor all of its own kind.
@Suite struct AnswerBudgetTests {
  private static let mebibyte = 1 << 20

  /// Takes whatever is to be had, a MiB at a time.
  private static func fill(_ budget: AnswerBudget) -> AnswerBudget.Share {
    let share = budget.share()
    while share.take(mebibyte) {}
    return share
  }

  @Test func slowReadersOfListsDoNotKeepOthersFromRenewing() {
    let budgets = AnswerBudgets()
    let readers = (0..<100).map { _ in budgets.ofConnection() }
    let shares = readers.map { Self.fill($0.lists) } + readers.map { Self.fill($0.resources) }
    // The largest answer there is: 1,000 verdicts in JSON.
    #expect(budgets.ofConnection().renewals.share().take(7 * Self.mebibyte))
    #expect(shares.count == 200)
  }

  @Test func theLongestListFitsWhereNobodyElseHasAny() {
    let connection = AnswerBudgets().ofConnection()
    #expect(connection.lists.share().take(AnswerBudget.connectionBytesMax))
    #expect(!connection.lists.share().take(AnswerBudget.connectionBytesMax + 1))
  }

  @Test func oneConnectionLeavesMostToOthers() {
    let budgets = AnswerBudgets()
    var shares: [AnswerBudget.Share] = []
    var free = AnswerBudget.listBytesMax
    for _ in 0..<10 {
      shares.append(Self.fill(budgets.ofConnection().lists))
      let left = AnswerBudget.listBytesMax - budgets.bytesUsed
      #expect(left >= free * 2 / 3 && left < free)
      free = left
    }
    // After ten of them there is still room for another's list of some MiB.
    #expect(budgets.ofConnection().lists.share().take(3 * Self.mebibyte))
    shares = []
    #expect(budgets.bytesUsed == 0)
  }

  @Test func whatIsRefusedTakesNothing() {
    let budgets = AnswerBudgets()
    let readers = (0..<100).map { _ in Self.fill(budgets.ofConnection().lists) }
    let (connection, before) = (budgets.ofConnection(), budgets.bytesUsed)
    // A connection may have as much; the server has not.
    #expect(!connection.lists.share().take(4 * Self.mebibyte))
    #expect(connection.lists.bytesUsed == 0 && budgets.bytesUsed == before)
    #expect(readers.count == 100)
  }

  @Test func whatAnAnswerDoesNotNeedIsGivenBack() {
    let budgets = AnswerBudgets()
    let connection = budgets.ofConnection()
    let share = connection.renewals.share()
    #expect(share.take(1_000))
    share.keep(10)
    #expect(budgets.bytesUsed == 10 && connection.renewals.bytesUsed == 10)
    share.keep(500)
    #expect(budgets.bytesUsed == 10)
  }
}
