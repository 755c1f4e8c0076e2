#if PostgreSQL
  import Storage
  import StorageSQL
  import Synchronization

  /// Finds out that a standby was promoted in the place of a host that gives no answer, as one does that is suspended
  /// or cut off: nobody has to wait for that one until the time is up.
  final class PostgresSuccession: Sendable {
    /// Who has waited for so long has the other hosts looked at.
    static let patienceMilliseconds: Int64 = 500
    /// They are looked at no more often than that.
    private static let pauseMilliseconds: Int64 = 1_000

    private let opening: PostgresOpening
    private let account: DatabaseAccount
    private let latestLook = Atomic<Int64>(-pauseMilliseconds)
    /// How often each host was replaced.
    private let replacements = Mutex<[Int: Int]>([:])

    init(_ opening: PostgresOpening, _ account: DatabaseAccount) {
      self.opening = opening
      self.account = account
    }

    func replacements(of index: Int) -> Int { replacements.withLock { $0[index] ?? 0 } }

    /// Looks whether any host but that at `index` has a later history than any that was seen. Keeps nobody waiting.
    func look(besides index: Int) {
      let (now, latest) = (PostgresConnection.now, latestLook.load(ordering: .relaxed))
      guard now - latest >= Self.pauseMilliseconds,
        latestLook.compareExchange(expected: latest, desired: now, ordering: .relaxed).exchanged
      else { return }
      for (other, host) in opening.parameters.hosts.enumerated() where other != index {
        _ = BlockingThread.detached { [self] in
          guard let history = history(of: host), history > account.latestHistory else { return }
          replacements.withLock { $0[index, default: 0] += 1 }
        }
      }
    }

    /// Nil where it cannot be had; 0 of a standby.
    private func history(of host: PostgresParameters.Host) -> Int64? {
      let connection = try? PostgresConnection(
        opening.open(host), secondsMax: opening.secondsMax)
      let asked = PostgresStatement("SELECT \(PostgresStatements.history!)")
      return try? connection?.run([asked])[0].first?.integer(0)
    }
  }
#endif
