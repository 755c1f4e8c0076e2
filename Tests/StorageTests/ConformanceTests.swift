import Glibc
import TestKit
import Testing

/// The engines that the suite runs over: all, or those that LATCHKEY_ENGINES names, with commas between.
let engines: [EngineUnderTest] = {
  guard let wanted = getenv("LATCHKEY_ENGINES").map({ String(cString: $0) }) else { return all }
  return wanted.split(separator: ",").map { name in all.first { $0.description == name }! }
}()

/// A new one is one line.
private let all =
  [
    EngineUnderTest("memory") { MemoryDatabase() },
    EngineUnderTest("optimistic memory") { MemoryDatabase(.optimistic) },
    EngineUnderTest("SQLite") { try SQLiteDatabase() },
  ] + postgreSQL + mariaDB

#if PostgreSQL
  private let whyNotPostgreSQL = PostgresCluster.isMissing
  private let whyNotPooler = PostgresCluster.isPoolerMissing
  private let postgreSQL =
    (whyNotPostgreSQL == nil ? [EngineUnderTest("PostgreSQL") { try PostgresDatabase() }] : [])
    + (whyNotPooler == nil
      ? [EngineUnderTest("PostgreSQL through pgbouncer") { try PostgresDatabase(isPooled: true) }]
      : [])
#else
  private let whyNotPostgreSQL: String? = "built without the trait PostgreSQL"
  private let whyNotPooler: String? = whyNotPostgreSQL
  private let postgreSQL: [EngineUnderTest] = []
#endif

#if MariaDB
  private let whyNotMariaDB = MariaDBCluster.isMissing
  private let mariaDB =
    whyNotMariaDB != nil
    ? []
    : [
      EngineUnderTest("MariaDB") { try MariaDBDatabase(.running()) },
      EngineUnderTest("Galera") { try MariaDBDatabase(.runningGalera()) },
    ]
#else
  private let whyNotMariaDB: String? = "built without the trait MariaDB"
  private let mariaDB: [EngineUnderTest] = []
#endif

/// One after the other: each check has the threads of several stores.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct ConformanceTests {
  @Test(arguments: engines, StoreConformance.checks)
  func conforms(_ engine: EngineUnderTest, to check: StoreConformance.Check) async throws {
    try await check.run(on: engine)
  }
}

/// Says which engines are left out.
@Suite struct EnginesTests {
  @Test(.disabled(if: whyNotPostgreSQL != nil, Comment(rawValue: whyNotPostgreSQL ?? "")))
  func postgreSQLIsTried() { #expect(!postgreSQL.isEmpty) }

  @Test(.disabled(if: whyNotPooler != nil, Comment(rawValue: whyNotPooler ?? "")))
  func postgreSQLThroughAPoolerIsTried() { #expect(postgreSQL.count == 2) }

  @Test(.disabled(if: whyNotMariaDB != nil, Comment(rawValue: whyNotMariaDB ?? "")))
  func mariaDBAndGaleraAreTried() { #expect(mariaDB.count == 2) }
}
