#if MariaDB
  import CMariaDB
  import Storage

  /// Where a database is and how to get there:
  /// `mariadb://USER[:PASSWORD]@HOST[:PORT][,HOST[:PORT]…]/DATABASE[?PARAMETER=VALUE&…]`.
  ///
  /// | parameter | meaning |
  /// |---|---|
  /// | `socket` | the path of a Unix socket, in the place of hosts |
  /// | `ssl-mode` | `disabled` (which is what holds where nothing is said of TLS), `required`: encrypted, whoever answers; `verify-identity`: and the server shows a certificate of its name |
  /// | `ssl-ca` | the file of certificates that are trusted; with it `ssl-mode` is `verify-identity` unless it says otherwise |
  /// | `ssl-cert`, `ssl-key` | the files of this server's own certificate |
  ///
  /// What would mean something else here is written as in every URL: "%40" for "@".
  package struct MariaDBAddress: Equatable, Sendable {
    package struct Host: Equatable, Sendable {
      var name: String
      var port: UInt32

      var description: String {
        let name = name.contains(":") ? "[\(name)]" : name
        return port == MariaDBAddress.defaultPort ? name : "\(name):\(port)"
      }
    }

    enum Security: String, Sendable {
      case disabled, required
      case verifyIdentity = "verify-identity"
    }

    static let defaultPort: UInt32 = 3_306

    var user: String
    var password: String?
    /// In the order in which they are tried; none where there is a socket.
    var hosts: [Host] = []
    var socket: String?
    var database: String
    var security = Security.disabled
    var authorityFile: String?
    var certificateFile: String?
    var keyFile: String?

    /// - Throws: What is wrong with it, without anything of it.
    init(_ url: String) throws(StoreError) {
      let scheme = "mariadb://"
      guard url.hasPrefix(scheme) else { throw Self.malformed("it does not begin with \(scheme)") }
      let parts = Self.halves(url.dropFirst(scheme.count), at: "?")
      let place = Self.halves(parts.0, at: "/")
      guard let at = place.0.lastIndex(of: "@") else { throw Self.malformed("it names no user") }
      let login = Self.halves(place.0[..<at], at: ":")
      user = try Self.decoded(login.0, "the user")
      password = try login.1.map { text throws(StoreError) in try Self.decoded(text, "the password")
      }
      database = try Self.decoded(place.1 ?? "", "the database")
      guard !user.isEmpty else { throw Self.malformed("it names no user") }
      guard !database.isEmpty else { throw Self.malformed("it names no database") }
      let hosts = place.0[place.0.index(after: at)...]
      if !hosts.isEmpty {
        for host in hosts.split(separator: ",", omittingEmptySubsequences: false) {
          self.hosts.append(try Self.host(host))
        }
      }
      for parameter in (parts.1 ?? "").split(separator: "&") { try read(parameter) }
      if authorityFile != nil, !saysSecurity { security = .verifyIdentity }
      guard self.hosts.isEmpty == (socket != nil) else {
        throw Self.malformed("it has to name either hosts or a socket")
      }
    }

    private var saysSecurity = false

    private mutating func read(_ parameter: Substring) throws(StoreError) {
      let (name, text) = Self.halves(parameter, at: "=")
      let value = try Self.decoded(text ?? "", "a parameter")
      guard !value.isEmpty else { throw Self.malformed("a parameter has no value") }
      switch name {
      case "socket": socket = value
      case "ssl-ca": authorityFile = value
      case "ssl-cert": certificateFile = value
      case "ssl-key": keyFile = value
      case "ssl-mode":
        guard let mode = Security(rawValue: value) else {
          throw Self.malformed("ssl-mode must be disabled, required or verify-identity")
        }
        security = mode
        saysSecurity = true
      default:
        throw Self.malformed(
          "the parameters that it may have are socket, ssl-mode, ssl-ca, ssl-cert and ssl-key")
      }
    }

    /// A name, an IPv4 address, or an IPv6 address in brackets.
    private static func host(_ text: Substring) throws(StoreError) -> Host {
      var (name, port) = (text, Substring?.none)
      if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
        name = text[text.index(after: text.startIndex)..<end]
        let rest = text[text.index(after: end)...]
        guard rest.isEmpty || rest.hasPrefix(":") else { throw malformed("a host is none") }
        port = rest.isEmpty ? nil : rest.dropFirst()
      } else {
        (name, port) = halves(text, at: ":")
      }
      // Anything else may mean something else to the library.
      let isName = name.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
          UInt8(ascii: "_"), UInt8(ascii: ":"):
          true
        default: false
        }
      }
      guard !name.isEmpty, isName else { throw malformed("a host is none") }
      guard let port else { return Host(name: String(name), port: defaultPort) }
      guard let number = UInt16(port), number > 0 else {
        throw malformed("a port must be a number from 1 to 65535")
      }
      return Host(name: String(name), port: UInt32(number))
    }

    private static func halves(
      _ text: Substring, at separator: Character
    ) -> (Substring, Substring?) {
      guard let place = text.firstIndex(of: separator) else { return (text, nil) }
      return (text[..<place], text[text.index(after: place)...])
    }

    private static func decoded(_ text: Substring, _ what: String) throws(StoreError) -> String {
      var bytes: [UInt8] = []
      var rest = text.utf8[...]
      while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
          bytes.append(byte)
          continue
        }
        guard rest.count >= 2, let value = UInt8(String(Substring(rest.prefix(2))), radix: 16)
        else {
          throw malformed("\(what) has a % that two hexadecimal digits do not follow")
        }
        bytes.append(value)
        rest = rest.dropFirst(2)
      }
      guard !bytes.contains(0), let decoded = String(validating: bytes, as: UTF8.self) else {
        throw malformed("\(what) is not UTF-8 text")
      }
      return decoded
    }

    private static func malformed(_ what: String) -> StoreError {
      StoreError(
        .unusable,
        "the store's URL is not mariadb://USER@HOST,HOST/DATABASE or "
          + "mariadb://USER@/DATABASE?socket=PATH: \(what)")
    }

    /// What whoever runs the server can do about an error.
    ///
    /// - Parameters:
    ///   - code: As MariaDB numbers errors.
    ///   - message: What it says.
    func advice(_ code: String, _ message: String) -> String {
      switch Int32(code) {
      case ER_ACCESS_DENIED_ERROR where message.contains("using password: NO"):
        "; no password was given: LATCHKEY_STORE_PASSWORD or --store-password-file has to say it"
      case ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR: "; user or password is wrong"
      case ER_BAD_DB_ERROR: "; create it: CREATE DATABASE \(database)"
      case ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR:
        "; if there is a database \(database), GRANT ALL ON \(database).* TO the user, or have an administrator "
          + "run what \"latchkeyd store-schema mariadb\" prints"
      case ER_UNKNOWN_COM_ERROR where message.hasPrefix("WSREP"):
        "; the node sees no majority of its cluster"
      case ER_BINLOG_STMT_MODE_AND_ROW_ENGINE: "; set binlog_format to ROW or MIXED"
      default: ""
      }
    }

    /// What to call it, without secrets.
    var location: String {
      let hosts = hosts.map(\.description)
      return "mariadb://\(user)@\(hosts.joined(separator: ","))/\(database)"
    }
  }
#endif
