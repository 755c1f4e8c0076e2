#if MariaDB
  import CMariaDB
  import Storage
  package import StorageSQL

  /// A connection to MariaDB. It belongs to one thread at a time and closes with its owner.
  ///
  /// Statements go out together, as one text, and their results come back together, so a transaction whose
  /// statements are known costs one round trip. What stands behind a statement that is refused is not done.
  package final class MariaDBConnection: SQLConnection {
    private let handle: UnsafeMutablePointer<MYSQL>
    package var hostIndex = 0
    package private(set) var isUsable = true
    /// How long a round trip may take, and opening.
    private let secondsMax: Int

    /// The library's own beginning is for one thread.
    private static let isReady: Bool = mysql_server_init(0, nil, nil) == 0

    /// - Parameters:
    ///   - host: Nil for the address's socket.
    ///   - secondsMax: How long a round trip may take, and opening.
    init(
      _ address: MariaDBAddress, _ host: MariaDBAddress.Host?, password: String?, secondsMax: Int
    ) throws(StoreError) {
      guard Self.isReady, let handle = mysql_init(nil) else {
        throw StoreError(.unavailable, "out of memory")
      }
      self.handle = handle
      self.secondsMax = secondsMax
      setOptions(address, isSocket: host == nil)
      // A set of rows tells how many of them were found, not how many are another by it.
      let flags = UInt(CLIENT_MULTI_STATEMENTS) | UInt(CLIENT_FOUND_ROWS)
      guard
        mysql_real_connect(
          handle, host?.name, address.user, password ?? address.password ?? "", address.database,
          host?.port ?? 0, address.socket, flags) != nil
      else { throw Self.error(.refused(refusal), address) }
      do throws(SQLFailure) {
        try prepare(address)
      } catch {
        throw Self.error(error, address)
      }
    }

    /// `unusable` where it will not be another time either, such as with a wrong password.
    private static func error(_ failure: SQLFailure, _ address: MariaDBAddress) -> StoreError {
      switch failure {
      case .refused(let refusal):
        StoreError(
          codesThatStay.contains(refusal.code) ? .unusable : .unavailable,
          refusal.message + address.advice(refusal.code, refusal.message))
      case .lost(let reason): StoreError(.unavailable, reason)
      }
    }

    /// Of errors that do not go away by themselves.
    private static let codesThatStay = Set(
      [
        ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ER_BAD_DB_ERROR,
        ER_DBACCESS_DENIED_ERROR, Int32(CR_UNKNOWN_HOST), unfit,
      ].map { "\($0)" })
    /// In the place of an error's number: the server is not one that can be used.
    private static let unfit: Int32 = 0

    private static func unfit(_ reason: String) -> SQLFailure {
      .refused(SQLFailure.Refusal(code: "\(unfit)", message: reason, isConflict: false))
    }

    deinit { mysql_close(handle) }

    private func setOptions(_ address: MariaDBAddress, isSocket: Bool) {
      var seconds = UInt32(secondsMax)
      for option in [MYSQL_OPT_CONNECT_TIMEOUT, MYSQL_OPT_READ_TIMEOUT, MYSQL_OPT_WRITE_TIMEOUT] {
        mysql_options(handle, option, &seconds)
      }
      // Else "localhost" is a socket.
      var transport = (isSocket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP).rawValue
      mysql_options(handle, MYSQL_OPT_PROTOCOL, &transport)
      // No server is given files of this machine.
      var no: UInt32 = 0
      mysql_options(handle, MYSQL_OPT_LOCAL_INFILE, &no)
      mysql_options(handle, MYSQL_SET_CHARSET_NAME, "utf8mb4")
      // Newer libraries verify unless they are told not to, and without TLS too.
      var isVerified: my_bool = address.security == .verifyIdentity ? 1 : 0
      mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &isVerified)
      guard address.security != .disabled else { return }
      var isEnforced: my_bool = 1
      mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &isEnforced)
      for (option, file) in [
        (MYSQL_OPT_SSL_CA, address.authorityFile), (MYSQL_OPT_SSL_CERT, address.certificateFile),
        (MYSQL_OPT_SSL_KEY, address.keyFile),
      ] {
        if let file { mysql_options(handle, option, file) }
      }
    }

    package var isSessionSet: Bool { true }

    /// Looks whether the server can be used, and sets what the session needs.
    private func prepare(_ address: MariaDBAddress) throws(SQLFailure) {
      // The library does without where the server cannot.
      guard address.security == .disabled || mysql_get_ssl_cipher(handle) != nil else {
        throw Self.unfit("its server does without TLS")
      }
      let oldest: UInt = 100_600
      guard mariadb_connection(handle) != 0, mysql_get_server_version(handle) >= oldest else {
        let version = String(cString: mysql_get_server_info(handle))
        throw Self.unfit("its server is \(version), which is older than MariaDB 10.6 or none")
      }
      let results = try run([
        MariaDBStatements.session(secondsMax: secondsMax), MariaDBStatements.state,
        MariaDBStatements.galera,
      ])
      guard results[1].first?.integer(0) == 0 else {
        throw Self.unfit(
          "its server is read-only, such as a replica: name the one that is written to")
      }
      guard results[2].first?.text(1) == "ON" else { return }
      // A node without its cluster refuses this.
      _ = try run(
        [MariaDBStatements.synchronized] + MariaDBStatements.beginReading
          + [MariaDBStatements.commit])
    }

    // MARK: - Statements

    /// Runs `statements`, in their order, as one round trip, or a few where they are long. Only what is within
    /// a transaction may be long.
    ///
    /// - Returns: The results, in the same order.
    package func run(_ statements: [MariaDBStatement]) throws(SQLFailure) -> [MariaDBResult] {
      var results: [MariaDBResult] = []
      do throws(SQLFailure) {
        for text in Self.texts(statements) {
          let isFirst = results.isEmpty
          results += try exchange(isFirst ? text : [MariaDBStatements.goOn] + text)
            .dropFirst(isFirst ? 0 : 1)
        }
        return results
      } catch {
        // Behind what was refused nothing was done, the end of its transaction neither.
        if isUsable { _ = try? exchange([MariaDBStatements.rollback]) }
        throw error
      }
    }

    private static func texts(_ statements: [MariaDBStatement]) -> [[MariaDBStatement]] {
      var texts: [[MariaDBStatement]] = [[]]
      var bytes = 0
      for statement in statements {
        let own = statement.text.utf8.count
        if bytes + own > MariaDBStatements.textBytesMax, !texts[texts.count - 1].isEmpty {
          texts.append([])
          bytes = 0
        }
        texts[texts.count - 1].append(statement)
        bytes += own
      }
      return texts
    }

    private func exchange(_ statements: [MariaDBStatement]) throws(SQLFailure) -> [MariaDBResult] {
      var text = statements.map(\.text).joined(separator: ";\n")
      var results: [MariaDBResult] = []
      func failure() -> SQLFailure {
        let (refusal, code) = (refusal, Int32(bitPattern: mysql_errno(handle)))
        let isOfServer =
          code < CR_MIN_ERROR || code > CER_MAX_ERROR
          || (CR_MAX_ERROR..<CER_MIN_ERROR).contains(code)
        if !isOfServer || Self.codesOfUnfitServers.contains(code) { isUsable = false }
        guard isOfServer else { return .lost(refusal.message) }
        return .refused(refusal)
      }
      let code = text.withUTF8 { bytes in
        bytes.withMemoryRebound(to: CChar.self) {
          mysql_real_query(handle, $0.baseAddress, UInt($0.count))
        }
      }
      guard code == 0 else { throw failure() }
      while true {
        let result = mysql_store_result(handle)
        guard result != nil || mysql_field_count(handle) == 0 else { throw failure() }
        results.append(MariaDBResult(result))
        let next = mysql_next_result(handle)
        if next > 0 { throw failure() }
        if next < 0 { break }
      }
      guard results.count == statements.count else {
        isUsable = false
        throw .lost("\(results.count) answers for \(statements.count) statements")
      }
      return results
    }

    // MARK: - Errors

    private var refusal: SQLFailure.Refusal {
      let code = Int32(bitPattern: mysql_errno(handle))
      let state = String(cString: mysql_sqlstate(handle))
      let message = String(cString: mysql_error(handle)).split(separator: "\n")
        .joined(separator: "; ")
      return SQLFailure.Refusal(
        code: "\(code)", message: message,
        isConflict: state == MariaDBStatements.conflictState
          || Self.codesOfConflicts.contains(code))
    }

    private static let codesOfConflicts: Set = [
      ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, ER_CHECKREAD, ER_DUP_ENTRY, ER_TABLE_DEF_CHANGED,
    ]

    /// Of a server that goes down, a node that has lost its cluster, or a replica. Another one may be fit.
    private static let codesOfUnfitServers: Set = [
      ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED, ER_UNKNOWN_COM_ERROR,
      ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
    ]
  }
#endif
