#if PostgreSQL
  import CPostgres
  import Glibc
  import Storage
  package import StorageSQL
  import Synchronization

  /// A connection to PostgreSQL. It belongs to one thread at a time and closes with its owner.
  ///
  /// Statements go out together and their results come back together (libpq's pipeline mode), so a
  /// transaction whose statements are known costs one round trip. Names, settings and locks of the
  /// session are used only where it is known that there is one: a pooler may give each transaction another one.
  package final class PostgresConnection: SQLConnection {
    private let handle: OpaquePointer
    package var hostIndex = 0
    /// How long a round trip may take.
    private let secondsMax: Int

    /// - Parameters:
    ///   - handle: Of an open connection. It is closed with this.
    ///   - secondsMax: How long a round trip may take.
    init(_ handle: OpaquePointer, secondsMax: Int) throws(StoreError) {
      self.handle = handle
      self.secondsMax = secondsMax
      let isWarned = Unmanaged.passUnretained(isWarned).toOpaque()
      PQsetNoticeReceiver(handle, { Warning.note($0, $1) }, isWarned)
      PQsetnonblocking(handle, 1)
      guard PQenterPipelineMode(handle) == 1 else {
        throw StoreError(.unavailable, message)
      }
    }

    deinit { PQfinish(handle) }

    /// On one line.
    private var message: String {
      String(cString: PQerrorMessage(handle)).split(separator: "\n").joined(separator: "; ")
    }

    private let isWarned = Warning()

    /// Whether the latest statement was done with a warning.
    private final class Warning {
      var isThere = false

      static func note(_ flag: UnsafeMutableRawPointer?, _ notice: OpaquePointer?) {
        // Anything else is such as that a table is there already.
        guard let code = PQresultErrorField(notice, Int32(Character("C").asciiValue!)),
          String(cString: code).hasPrefix("01")
        else { return }
        Unmanaged<Warning>.fromOpaque(flag!).takeUnretainedValue().isThere = true
      }
    }

    /// Answers that nobody waited for would be taken for those of the next statements.
    private var isLost = false

    package var isUsable: Bool { !isLost && !isReplaced && PQstatus(handle) == CONNECTION_OK }

    /// Runs `statements`, in their order, as one round trip.
    ///
    /// - Returns: The results, in the same order.
    package func run(_ statements: [PostgresStatement]) throws(SQLFailure) -> [PostgresResult] {
      do throws(SQLFailure) {
        return try exchange(statements)
      } catch {
        if case .lost = error {
          isLost = true
          cancel()
        }
        // Behind what was refused nothing was done, the end of its transaction neither.
        if isUsable, PQtransactionStatus(handle) == PQTRANS_INERROR {
          if (try? exchange([PostgresStatements.rollback])) == nil { isLost = true }
        }
        throw error
      }
    }

    // MARK: - Statements that are kept

    /// The names of those that the server has parsed, by their texts; nil where it is to parse each anew.
    private var kept: [String: String]?
    /// What is more does not come again and again.
    private static let keptMax = 256
    private var latestName = 0

    package var isSessionSet: Bool { kept != nil }

    /// From now on the server parses and plans each text once: that is most of what a small transaction costs it.
    /// Behind a pooler nothing changes.
    ///
    /// - Parameter settings: What transactions need.
    func keepStatements(_ settings: PostgresStatement) throws(SQLFailure) {
      // A pooler has numbers of its own for those to whom it lends its sessions.
      let session = try run([PostgresStatement("SELECT pg_backend_pid()::bigint")])[0][0].integer(0)
      guard session == Int64(PQbackendPID(handle)) else { return }
      // Of arrays a plan for some values is right for any number.
      _ = try run([settings, PostgresStatement("SET plan_cache_mode = force_generic_plan")])
      kept = [:]
    }

    /// - Returns: Whether the server is asked to parse the text.
    private func keep(_ statement: PostgresStatement) throws(SQLFailure) -> Bool {
      guard let kept, kept[statement.text] == nil, kept.count < Self.keptMax else { return false }
      latestName += 1
      let (name, types) = ("s\(latestName)", statement.parameters.map(\.type))
      guard PQsendPrepare(handle, name, statement.text, Int32(types.count), types) == 1 else {
        throw .lost(message)
      }
      self.kept![statement.text] = name
      return true
    }

    // MARK: - A round trip

    private func exchange(_ statements: [PostgresStatement]) throws(SQLFailure) -> [PostgresResult]
    {
      // What the server answers, in its order: that a text is parsed, or nil for the result of a statement.
      var answers: [String?] = []
      var place = 0
      // What was not answered is not parsed.
      defer { for case let text? in answers.dropFirst(place) { kept?[text] = nil } }
      for statement in statements {
        if try keep(statement) { answers.append(statement.text) }
        guard send(statement) else { throw .lost(message) }
        answers.append(nil)
      }
      guard PQpipelineSync(handle) == 1 else { throw .lost(message) }
      let deadline = Self.now + Int64(secondsMax) * 1_000
      var results: [PostgresResult] = []
      var refusal: SQLFailure?
      while true {
        isWarned.isThere = false
        try awaitResult(until: deadline)
        // Each statement's results end with none.
        guard let result = PQgetResult(handle) else { continue }
        switch PQresultStatus(result) {
        case PGRES_PIPELINE_SYNC:
          PQclear(result)
          if let refusal { throw refusal }
          guard results.count == statements.count else {
            throw .lost("\(results.count) answers for \(statements.count) statements")
          }
          return results
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK:
          let isParsed = refusal == nil && place < answers.count && answers[place] != nil
          place += refusal == nil ? 1 : 0
          guard !isParsed else {
            PQclear(result)
            continue
          }
          results.append(PostgresResult(result))
          if isWarned.isThere, statements[results.count - 1] == PostgresStatements.commit {
            throw .lost("a commit was not confirmed by a standby")
          }
        case PGRES_PIPELINE_ABORTED: PQclear(result)  // behind the one that was refused
        default:
          refusal = refusal ?? Self.refusal(result)
          PQclear(result)
          guard isUsable else { throw .lost(message) }
        }
      }
    }

    /// Has the server give up what nobody waits for any more. It does not notice by itself: a commit that waits
    /// for a standby would wait on, with its connection and its locks.
    private func cancel() {
      // Each may take as long as the system's patience with connections is.
      guard Self.cancelling.load(ordering: .relaxed) < Self.cancellingMax,
        let request = PQgetCancel(handle)
      else { return }
      Self.cancelling.add(1, ordering: .relaxed)
      nonisolated(unsafe) let cancelling = request
      // It takes a connection of its own, which may take as long as this one has waited already.
      let isStarted = BlockingThread.detached {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(cancelling, &message, Int32(message.count))
        PQfreeCancel(cancelling)
        Self.cancelling.subtract(1, ordering: .relaxed)
      }
      guard !isStarted else { return }
      PQfreeCancel(request)
      Self.cancelling.subtract(1, ordering: .relaxed)
    }

    /// How many threads have the server give something up.
    private static let cancelling = Atomic<Int>(0)
    private static let cancellingMax = 8

    private static func refusal(_ result: OpaquePointer) -> SQLFailure {
      func field(_ code: Character) -> String {
        PQresultErrorField(result, Int32(code.asciiValue!)).map { String(cString: $0) } ?? ""
      }
      let code = field("C")
      return .refused(
        SQLFailure.Refusal(code: code, message: field("M"), isConflict: isConflict(code)))
    }

    private static func isConflict(_ code: String) -> Bool {
      code.hasPrefix("40") || code == PostgresStatements.conflictCode || code == "23505"
    }

    /// Nothing can be written in a standby.
    static func isOfStandby(_ code: String) -> Bool { code == "25006" }

    private func send(_ statement: PostgresStatement) -> Bool {
      let encoded = statement.parameters.map(\.encoded)
      let types = statement.parameters.map(\.type)
      let lengths = encoded.map { Int32($0.count) }
      let formats = encoded.map { _ in Int32(1) }
      // One run of bytes, into which the values point.
      let bytes = encoded.reduce(into: []) { $0 += $1 } + [0]
      return bytes.withUnsafeBytes { bytes in
        var offset = 0
        let values = encoded.map { value -> UnsafePointer<CChar>? in
          defer { offset += value.count }
          return (bytes.baseAddress! + offset).assumingMemoryBound(to: CChar.self)
        }
        let count = Int32(values.count)
        if let name = kept?[statement.text] {
          return PQsendQueryPrepared(handle, name, count, values, lengths, formats, 1) == 1
        }
        return PQsendQueryParams(
          handle, statement.text, count, types, values, lengths, formats, 1) == 1
      }
    }

    /// Whether another host was promoted in the place of its own; nil where there is no other.
    private var succession: (of: PostgresSuccession, replacements: Int)?

    func follow(_ succession: PostgresSuccession) {
      self.succession = (succession, succession.replacements(of: hostIndex))
    }

    private var isReplaced: Bool {
      succession.map { $0.of.replacements(of: hostIndex) != $0.replacements } ?? false
    }

    private func awaitResult(until deadline: Int64) throws(SQLFailure) {
      let start = Self.now
      while true {
        let flushed = PQflush(handle)
        guard flushed >= 0 else { throw .lost(message) }
        if flushed == 0, PQisBusy(handle) == 0 { return }
        let left = deadline - Self.now
        guard left > 0 else {
          throw .lost(
            "no answer within \(secondsMax) s; commits wait for a synchronous standby where one is asked for"
          )
        }
        var wait = left
        if let succession {
          let patience = start + PostgresSuccession.patienceMilliseconds - Self.now
          if patience <= 0 { succession.of.look(besides: hostIndex) }
          guard !isReplaced else { throw .lost("another host has taken its place") }
          wait = min(left, patience > 0 ? patience : Self.lookMilliseconds)
        }
        var wanted = pollfd(
          fd: PQsocket(handle), events: Int16(POLLIN | (flushed == 1 ? POLLOUT : 0)), revents: 0)
        _ = poll(&wanted, 1, Int32(wait))
        if wanted.revents & Int16(POLLIN | POLLERR | POLLHUP) != 0, PQconsumeInput(handle) == 0 {
          throw .lost(message)
        }
      }
    }

    /// How often it is looked whether the host was replaced, by who waits.
    private static let lookMilliseconds: Int64 = 50

    /// Milliseconds of a clock that nobody sets.
    static var now: Int64 {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
  }
#endif
