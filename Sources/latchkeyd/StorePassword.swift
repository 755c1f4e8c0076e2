import Glibc

/// The password of a database, from where nobody else can read it.
enum StorePassword {
  private static let bytesMax = 4_096

  /// - Parameters:
  ///   - option: The file that an option names; nil where there is none.
  ///   - optionName: What to call it.
  ///   - warn: Told what is unwise.
  /// - Returns: Nil where nothing says one: the database's library may find one itself, such as in PGPASSFILE.
  static func find(
    file option: String?, _ optionName: String, environment: Environment,
    warn: (String) -> Void
  ) throws(SettingError) -> String? {
    if let option { return try read(option, optionName, warn: warn) }
    let variable = "LATCHKEY_STORE_PASSWORD_FILE"
    if let file = environment.value(variable) { return try read(file, variable, warn: warn) }
    return environment.value("LATCHKEY_STORE_PASSWORD")
  }

  /// The first line of a file.
  private static func read(
    _ path: String, _ name: String, warn: (String) -> Void
  ) throws(SettingError) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
      throw SettingError(
        message: "\(name): cannot read \(path): \(String(cString: strerror(errno)))")
    }
    defer { close(file) }
    var facts = stat()
    if fstat(file, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, facts.st_mode & S_IROTH != 0 {
      warn("\(name): everybody on this machine can read \(path): chmod o-r takes that away")
    }
    var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
    var count = 0
    while count <= bytesMax {
      let got = bytes.withUnsafeMutableBytes {
        Glibc.read(file, $0.baseAddress! + count, $0.count - count)
      }
      guard got >= 0 else {
        throw SettingError(
          message: "\(name): cannot read \(path): \(String(cString: strerror(errno)))")
      }
      if got == 0 { break }
      count += got
    }
    let line = bytes[..<count].prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
    guard count <= bytesMax, !line.isEmpty, !line.contains(0),
      let password = String(validating: line, as: UTF8.self)
    else {
      throw SettingError(
        message:
          "\(name): the first line of \(path) must be a password, of \(bytesMax) bytes of text at most"
      )
    }
    return password
  }
}
