#if PostgreSQL
  import CPostgres
  import Glibc
  import Storage
  package import StorageSQL

  /// A connection to PostgreSQL. It belongs to one thread at a time and closes with its owner.
  ///
  /// Statements go out together and their results come back together (libpq's pipeline mode), so a
  /// transaction whose statements are known costs one round trip. Names, settings and locks of the
  /// session are not used: a pooler may give each transaction another one.
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

    package var isUsable: Bool { !isLost && PQstatus(handle) == CONNECTION_OK }

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

    private func exchange(_ statements: [PostgresStatement]) throws(SQLFailure) -> [PostgresResult]
    {
      for statement in statements {
        guard send(statement) else { throw .lost(message) }
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
          results.append(PostgresResult(result))
          // The last one is what commits.
          if results.count == statements.count, isWarned.isThere {
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
      guard let request = PQgetCancel(handle) else { return }
      nonisolated(unsafe) let cancelling = request
      // It takes a connection of its own, which may take as long as this one has waited already.
      let isStarted = BlockingThread.detached {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(cancelling, &message, Int32(message.count))
        PQfreeCancel(cancelling)
      }
      if !isStarted { PQfreeCancel(request) }
    }

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
        return PQsendQueryParams(
          handle, statement.text, Int32(values.count), types, values, lengths, formats, 1) == 1
      }
    }

    private func awaitResult(until deadline: Int64) throws(SQLFailure) {
      while true {
        let flushed = PQflush(handle)
        guard flushed >= 0 else { throw .lost(message) }
        if flushed == 0, PQisBusy(handle) == 0 { return }
        let left = deadline - Self.now
        guard left > 0 else {
          throw .lost("no answer within \(secondsMax) s")
        }
        var wanted = pollfd(
          fd: PQsocket(handle), events: Int16(POLLIN | (flushed == 1 ? POLLOUT : 0)), revents: 0)
        _ = poll(&wanted, 1, Int32(left))
        if wanted.revents & Int16(POLLIN | POLLERR | POLLHUP) != 0, PQconsumeInput(handle) == 0 {
          throw .lost(message)
        }
      }
    }

    /// Milliseconds of a clock that nobody sets.
    static var now: Int64 {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
  }
#endif
