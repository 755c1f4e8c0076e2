import ArgumentParser
import Glibc
import LatchkeyServer
import Storage

/// `latchkeyd copy-store`
struct CopyStore: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "copy-store",
    abstract: "Copies a store into an empty one, also of another database.",
    discussion: """
      No server may run on either. All that is held, every token and the floor of tokens are as before; clients \
      that find their locks held by themselves go on. It is done or not done: a copy that was broken off is \
      refused by servers and has to be made anew, in an empty database.

      Start servers on the new store only: two stores would grant a lock twice.
      """)

  @Option(help: ArgumentHelp("The store that there is.", valueName: "url"))
  var from: String

  @Option(help: ArgumentHelp("The one that is to be.", valueName: "url"))
  var to: String

  @Option(
    help: ArgumentHelp(
      "A file whose first line is the password of the first. [LATCHKEY_STORE_PASSWORD_FILE]",
      valueName: "path"))
  var fromPasswordFile: String?

  @Option(
    help: ArgumentHelp(
      "The same of the second.", valueName: "path"))
  var toPasswordFile: String?

  func validate() throws { try Latchkeyd.checkStandsFirst("copy-store") }

  func run() throws {
    do throws(SettingError) {
      try copy()
    } catch {
      Latchkeyd.fail(error.message, code: .validationFailure)
    }
  }

  private func copy() throws(SettingError) {
    let source = try StoreURL(from, "--from", isPublic: true)
    let target = try StoreURL(to, "--to", isPublic: true)
    let passwords = (
      try password(fromPasswordFile, "--from-password-file"),
      try password(toPasswordFile, "--to-password-file")
    )
    do throws(StoreError) {
      guard !source.isMissingFile else { throw StoreError(.missing, "there is no store \(from)") }
      let engines = (
        try source.engine(password: passwords.0), try target.engine(password: passwords.1)
      )
      let copy = StoreCopy(from: engines.0, to: engines.1) { usleep(UInt32($0 / 1_000)) }
      let count = try copy.run(
        waits: {
          print("servers have been on \(engines.0.location): looking for \($0) s whether they live")
        })
      print("copied \(count) rows from \(engines.0.location) to \(engines.1.location)")
    } catch {
      Latchkeyd.fail(error)
    }
  }

  private func password(_ file: String?, _ option: String) throws(SettingError) -> String? {
    try StorePassword.find(file: file, option, environment: .current) {
      LineWriter(STDERR_FILENO).write("latchkeyd: \($0)")
    }
  }
}
