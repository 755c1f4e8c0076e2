import Glibc
import Storage
import StorageMariaDB
import StoragePostgreSQL
import StorageSQLite

/// Where the store is, as `--store` says it.
enum StoreURL {
  case sqlite(path: String)
  #if PostgreSQL
    /// As libpq takes it.
    case postgreSQL(uri: String)
  #endif
  #if MariaDB
    /// `mariadb://USER@HOST[:PORT],…/DATABASE[?ssl-mode=…&ssl-ca=…]`, or with `?socket=PATH` in the place of
    /// hosts.
    case mariaDB(url: String)
  #endif

  /// - Parameters:
  ///   - name: What to call the setting.
  ///   - isPublic: Whether everybody on this machine can read it.
  init(_ text: String, _ name: String, isPublic: Bool) throws(SettingError) {
    let sqlite = "sqlite:"
    if text.hasPrefix(sqlite), text.count > sqlite.count {
      self = .sqlite(path: String(text.dropFirst(sqlite.count)))
      return
    }
    if isPublic, Self.hasPassword(text) {
      throw SettingError(
        message:
          "\(name) has a password in it, which everybody could read in the list of processes; "
          + "give it in LATCHKEY_STORE_PASSWORD or in a file (--store-password-file, PGPASSFILE)")
    }
    if text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") {
      #if PostgreSQL
        self = .postgreSQL(uri: text)
      #else
        throw Self.missing("PostgreSQL", library: "libpq-dev", name)
      #endif
    } else if text.hasPrefix("mariadb://") {
      #if MariaDB
        self = .mariaDB(url: text)
      #else
        throw Self.missing("MariaDB", library: "libmariadb-dev", name)
      #endif
    } else {
      // What it is may be a URI with a password.
      throw SettingError(
        message: "\(name) must be sqlite:PATH, postgresql://USER@HOST/DATABASE or "
          + "mariadb://USER@HOST/DATABASE")
    }
  }

  private static func missing(_ engine: String, library: String, _ name: String) -> SettingError {
    SettingError(
      message: "\(name): this latchkeyd was built without \(engine); build it with "
        + "--traits \(engine), for which \(library) has to be there")
  }

  /// Whether a URL names a password: behind its user, or as a parameter.
  private static func hasPassword(_ url: String) -> Bool {
    guard let start = url.firstRange(of: "://")?.upperBound else { return false }
    let rest = url[start...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    if let at = authority.lastIndex(of: "@") {
      if authority[..<at].contains(":") { return true }
    } else if rest.contains("@"), authority.contains(":") {
      // It may have one of these signs in it.
      return true
    }
    guard let query = rest.firstIndex(of: "?") else { return false }
    return rest[query...].dropFirst().split(separator: "&").contains { parameter in
      let name = parameter.prefix { $0 != "=" }
      // No other parameter's name has to be encoded.
      return name.contains("%") || name == "password" || name == "sslpassword"
    }
  }

  /// Makes what has to be there before the store can be opened.
  ///
  /// - Parameters:
  ///   - password: Counts more than what the URL says; nil where nothing else says one.
  ///   - mustExist: Whether no store is made where there is none.
  func engine(password: String?, mustExist: Bool = false) throws(StoreError) -> any StoreEngine {
    switch self {
    case .sqlite(let path):
      if !mustExist { try Self.createFolder(of: path) }
      return SQLiteEngine(path: path, mustExist: mustExist)
    #if PostgreSQL
      case .postgreSQL(let uri):
        return try PostgresEngine(
          uri: uri, password: password, mustExist: mustExist, clock: monotonicClock)
    #endif
    #if MariaDB
      case .mariaDB(let url):
        return try MariaDBEngine(
          url: url, password: password, mustExist: mustExist, clock: monotonicClock)
    #endif
    }
  }

  /// Whether opening it would make a new store by itself, where there is none.
  var isMissingFile: Bool {
    guard case .sqlite(let path) = self else { return false }
    return access(path, F_OK) != 0
  }

  /// Creates the folder of the store's file where it is missing.
  private static func createFolder(of storePath: String) throws(StoreError) {
    guard let slash = storePath.lastIndex(of: "/"), slash != storePath.startIndex else { return }
    let folder = String(storePath[..<slash])
    var path = ""
    for part in folder.split(separator: "/", omittingEmptySubsequences: false) {
      path += path.isEmpty && !folder.hasPrefix("/") ? "\(part)" : "/\(part)"
      if part.isEmpty || part == "." || part == ".." { continue }
      guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
        throw StoreError(
          .unavailable, "cannot create the folder \(folder): \(String(cString: strerror(errno)))")
      }
    }
  }
}
