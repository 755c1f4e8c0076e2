#if PostgreSQL
  import CPostgres
  import Glibc
  import Storage

  /// Opens connections to a host, in a bounded time, and tells what will not do later either from what may.
  struct PostgresOpening: Sendable {
    /// The oldest server that has everything that is used here, as libpq numbers them.
    private static let oldestServer: Int32 = 130_000

    let parameters: PostgresParameters
    /// Counts more than what the URI says.
    let password: String?
    let secondsMax: Int

    /// - Throws: `unusable` where it will not be another time either, such as with a wrong password.
    func open(_ host: PostgresParameters.Host) throws(StoreError) -> OpaquePointer {
      let values = parameters.values(
        for: host,
        defaults: [
          ("application_name", "latchkeyd"), ("tcp_user_timeout", "\(secondsMax * 1_000)"),
        ],
        overrides: [("client_encoding", "UTF8")] + (password.map { [("password", $0)] } ?? []))
      let handle = Self.withCStrings(values.map(\.name) + [nil]) { names in
        Self.withCStrings(values.map(\.value) + [nil]) { PQconnectStartParams(names, $0, 0) }
      }
      guard let handle else { throw StoreError(.unavailable, "out of memory") }
      do throws(StoreError) {
        try finish(handle)
        try check(handle)
        return handle
      } catch {
        PQfinish(handle)
        throw error
      }
    }

    private static func withCStrings<R>(
      _ strings: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> R
    ) -> R {
      let copies = strings.map { $0.map { strdup($0) } ?? nil }
      defer { for copy in copies { free(copy) } }
      return copies.map { UnsafePointer($0) }.withUnsafeBufferPointer { body($0.baseAddress!) }
    }

    private func finish(_ handle: OpaquePointer) throws(StoreError) {
      // With the code of what the server says (SQLSTATE).
      PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
      let deadline = PostgresConnection.now + Int64(secondsMax) * 1_000
      var events = POLLOUT
      while PQstatus(handle) != CONNECTION_BAD {
        var wanted = pollfd(fd: PQsocket(handle), events: Int16(events), revents: 0)
        let left = deadline - PostgresConnection.now
        guard left > 0 else {
          throw StoreError(.unavailable, "no answer within \(secondsMax) s")
        }
        guard poll(&wanted, 1, Int32(left)) > 0 else { continue }
        switch PQconnectPoll(handle) {
        case PGRES_POLLING_READING: events = POLLIN
        case PGRES_POLLING_WRITING: events = POLLOUT
        case PGRES_POLLING_OK:
          PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
          return
        default: throw failure(handle)
        }
      }
      throw failure(handle)
    }

    // MARK: - Errors

    private func failure(_ handle: OpaquePointer) -> StoreError {
      let lines = String(cString: PQerrorMessage(handle)).split(separator: "\n")
        .filter { !$0.hasPrefix("LOCATION:") }
      let text = lines.map { $0.drop(while: \.isWhitespace) }.joined(separator: "; ")
      if PQconnectionNeedsPassword(handle) == 1 {
        return StoreError(
          .unusable,
          "it wants a password: give it in PGPASSFILE, LATCHKEY_STORE_PASSWORD or --store-password-file"
        )
      }
      // Of libpq itself.
      if text.contains("could not translate host name") {
        return StoreError(.unusable, "there is no such host")
      }
      if let advice = Self.advices.first(where: { text.contains($0.text) })?.advice {
        return StoreError(.unusable, text + advice)
      }
      if ["session is read-only", "hot standby mode"].contains(where: text.contains) {
        return standby
      }
      guard let (code, message) = Self.refusal(in: text) else {
        return StoreError(.unavailable, text)
      }
      guard let advice = Self.advice(code) else {
        return StoreError(.unavailable, "\(message) (SQLSTATE \(code))")
      }
      return StoreError(.unusable, message + advice)
    }

    /// Of libpq's own errors those that do not go away by themselves.
    private static let advices = [
      ("invalid port number", ""), ("server does not support SSL", "; sslmode asks for it"),
      ("session is not read-only", "; target_session_attrs has to be read-write"),
    ].map { (text: $0, advice: $1) }

    /// What the server has said, with its code: "FATAL:  28P01: password authentication failed".
    private static func refusal(in text: String) -> (code: String, message: String)? {
      guard let start = text.firstRange(of: ":  ")?.upperBound else { return nil }
      let parts = text[start...].split(separator: ": ", maxSplits: 1)
      let isCode = { (text: Substring) in
        text.utf8.count == 5 && text.allSatisfy { $0.isASCII && ($0.isNumber || $0.isUppercase) }
      }
      guard parts.count == 2, isCode(parts[0]) else { return nil }
      return (String(parts[0]), String(parts[1]))
    }

    /// What can be done about an error that does not go away by itself; nil for all others.
    private static func advice(_ code: String) -> String? {
      switch code {
      case "28P01": "; user or password is wrong"
      case "28000": "; pg_hba.conf of the database does not let this user in from here"
      case "3D000": "; create it: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
      case "42501": "; GRANT CONNECT ON DATABASE … TO the user"
      case "22023", "42704": "; what the URI sets by \"options\" is not to be had there"
      default: nil
      }
    }

    private var standby: StoreError {
      StoreError(
        .unusable,
        "it is a standby, which may lack what was committed: \(parameters.adviceOnStandbys)")
    }

    private func check(_ handle: OpaquePointer) throws(StoreError) {
      let version = PQserverVersion(handle)
      guard version >= Self.oldestServer else {
        throw StoreError(
          .unusable, "it is PostgreSQL \(version / 10_000), which is older than 13")
      }
      let encoding = PQparameterStatus(handle, "server_encoding").map { String(cString: $0) }
      guard encoding == "UTF8" else {
        throw StoreError(
          .unusable,
          "its encoding is \(encoding ?? "unknown"): CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
      }
    }
  }
#endif
