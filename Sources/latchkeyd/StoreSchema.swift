import ArgumentParser
import Storage
import StorageSQL

/// `latchkeyd store-schema`
struct StoreSchema: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "store-schema",
    abstract: "Prints the statements that make a store in a database.",
    discussion: """
      For databases in which a server may not create tables: run them as somebody who may, in the database that \
      --store is to name. A server that may does the same by itself.
      """)

  enum Database: String, ExpressibleByArgument, CaseIterable {
    case postgresql, mariadb
  }

  @Argument(help: ArgumentHelp("postgresql or mariadb."))
  var database: Database

  @Option(help: ArgumentHelp("Whom the servers are to the database.", valueName: "name"))
  var user = "latchkey"

  func validate() throws {
    try Latchkeyd.checkStandsFirst("store-schema")
    let isName = user.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    guard isName, (1...63).contains(user.utf8.count) else {
      throw ValidationError("--user must be 1 to 63 letters, digits, \"-\" and \"_\"")
    }
  }

  func run() {
    switch database {
    case .postgresql: print(PostgresStatements.schema(.all, user: user))
    case .mariadb: print(MariaDBStatements.schema(.all, user: user))
    }
  }
}
