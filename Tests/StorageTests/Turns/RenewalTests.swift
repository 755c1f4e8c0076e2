import LockCore
import TestKit
import Testing

@testable import Storage

/// What a transaction may write as a renewal that says nothing new: where only the revision is another one.
@Suite struct RenewalTests {
  private static func row(isFilled: Bool = true, needsShape: Int64 = S1.number) -> StoredRow {
    let holder = Holder(
      kind: .lock, owner: "a", content: .empty, lease: Lease(seconds: 10)!)
    var row = StoredRow(
      id: 7, record: LockRecord(key: "key", holder: holder, token: 3, revision: 5),
      needsShape: needsShape)
    row.isFilled = isFilled
    return row
  }

  private func change(
    _ commands: [Command], on row: StoredRow = Self.row(), setbackFloor: Int64 = 0
  ) throws -> RowChange {
    var scope = Batch.Scope()
    let slots = scope.add(["key"])
    var facts = Facts(meta: StoreMeta.unread)
    facts.meta.setbackFloor = setbackFloor
    facts.byKey = [row]
    var batch = Batch(scope, facts)
    for command in commands { _ = batch.apply(command, slots: slots[...]) }
    return try #require(batch.changes.rows.first)
  }

  private static let again = Command.hold("key", "a", lease: 10)

  @Test(arguments: [[again], [again, again], [.renew(Renewal(key: "key", token: 3))]])
  func whoSaysNothingNewRenews(_ commands: [Command]) throws {
    let change = try change(commands)
    #expect(change.isRenewal)
    #expect(change.record.revision == 5 + Int64(commands.count))
  }

  static let others: [[Command]] = [
    [.hold("key", "a", lease: 11)],
    [.hold("key", "a", lease: 10, value: #"{"n":2}"#)],
    [again, .hold("key", "a", lease: 11)],
    [.hold("key", "a", lease: 11), again],
    [.hold("key", "a", lease: 10, kind: .presence)],
    [.release(key: "key", owner: "a")],
    [.release(key: "key", owner: "a"), again],
    [.release(key: "key", owner: "a"), .hold("key", "b", lease: 10)],
    [.renew(Renewal(key: "key", token: 3, labels: ["color": "red"]))],
  ]

  @Test(arguments: others) func whateverElseChangesIsWritten(_ commands: [Command]) throws {
    #expect(try !change(commands).isRenewal)
  }

  @Test func aClaimOfWhatIsFromBeforeASetbackIsWritten() throws {
    let change = try change([Self.again], setbackFloor: 3)
    #expect(change.record.token == 4 && !change.isRenewal)
  }

  /// Some of its columns say less than it means.
  @Test func aRowOfAnOlderServerIsWritten() throws {
    #expect(try !change([Self.again], on: Self.row(isFilled: false)).isRenewal)
  }
}
