import Glibc
import LockCore
import Storage
import StorageSQLite
import TestKit
import Testing

/// Which store it is, and whether there is one.
@Suite(.timeLimit(.minutes(2))) struct StoreBirthTests {
  @Test(arguments: engines.filter { !$0.description.hasSuffix("memory") })
  func aStoreIsTheSameFromItsBeginningOn(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let now = Int64(time(nil))
    let first = try database.engine().openWriter()
    let second = try database.engine().openWriter()
    #expect(first.hasMadeStore && !second.hasMadeStore)
    first.forget()
    let birth = try #require(database.meta.birth)
    #expect(birth.id.utf8.count == 16 && birth.seconds >= now)
    let other = try engine.newDatabase()
    _ = try other.engine().openWriter()
    #expect(try other.meta.birth?.id != birth.id)
  }

  /// As an older release leaves it.
  @Test(arguments: engines.filter { !$0.description.hasSuffix("memory") })
  func oneThatIsOlderIsGivenAnIDAndNoTime(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    _ = try database.engine().openWriter()
    let forgetting = "DELETE FROM \(S1.metaTable) WHERE name = 'birth'"
    if let network = database as? any NetworkDatabase {
      try network.run(forgetting)
    } else {
      try SQLiteFile(try #require(database as? SQLiteDatabase).path).run(forgetting)
    }
    #expect(try database.meta.birth == nil)
    let writer = try database.engine().openWriter()
    #expect(!writer.hasMadeStore)
    #expect(try database.meta.birth?.seconds == 0)
  }

  @Test func noStoreIsMadeWhereThereHasToBeOne() throws {
    let folder = try StoreFolder()
    func refusal() -> StoreError? {
      #expect(throws: StoreError.self) {
        try SQLiteEngine(path: folder.file, mustExist: true).openWriter()
      }
    }
    #expect(refusal()?.code == .missing)
    #expect(access(folder.file, F_OK) != 0)
    try folder.write("", to: "latchkey.db")
    #expect(refusal()?.code == .missing)
    var status = stat()
    #expect(stat(folder.path("latchkey.db"), &status) == 0 && status.st_size == 0)
    _ = try SQLiteEngine(path: folder.file).openWriter()
    #expect(try !SQLiteEngine(path: folder.file, mustExist: true).openWriter().hasMadeStore)
  }

  @Test func aServerSaysThatItHasMadeOne() throws {
    let folder = try StoreFolder()
    for (number, made) in [1, 0].enumerated() {
      let observer = RecordingObserver()
      let store = try Store(
        engine: SQLiteEngine(path: folder.file), clock: ManualClock().reading, observer: observer)
      store.shutdown()
      #expect(observer.totals.storesMade == made, "\(number)")
    }
  }
}
