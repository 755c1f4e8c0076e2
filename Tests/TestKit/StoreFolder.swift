import Glibc

/// A folder of the temporary directory for one SQLite file and what a test puts beside it, gone with its last reference.
package final class StoreFolder: Sendable {
  /// Where the store's file is, or will be.
  package let file: String
  private let folder: String

  package init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var name = Array("\(parent)/latchkey-test-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw SystemError(what: "mkdtemp", number: errno) }
    folder = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    file = "\(folder)/latchkey.db"
  }

  /// Where a file called `name` would be.
  package func path(_ name: String) -> String { "\(folder)/\(name)" }

  /// A file of its owner's alone.
  package func write(_ text: String, to name: String) throws {
    let file = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw SystemError(what: "open", number: errno) }
    defer { close(file) }
    let bytes = Array(text.utf8)
    guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
      throw SystemError(what: "write", number: errno)
    }
  }

  deinit {
    if let entries = opendir(folder) {
      while let entry = readdir(entries) {
        withUnsafeBytes(of: entry.pointee.d_name) { name in
          _ = unlink(path(String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)))
        }
      }
      closedir(entries)
    }
    rmdir(folder)
  }

  /// What the operating system refused.
  package struct SystemError: Error {
    package let what: String
    package let number: Int32
  }
}
