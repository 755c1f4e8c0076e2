package import Storage
import Exclusion

/// Connects to one of several hosts: the first that can be used, where each has a head start before the next one
/// is tried beside it. So one that stays silent, as behind a cut link, keeps nobody waiting.
package final class HostRace<Host: Sendable, Connection: AnyObject>: Sendable {
  /// `@unchecked Sendable`: made by one thread, then used by the one that it is handed to.
  private struct Attempt: @unchecked Sendable {
    let index: Int
    let result: Result<Connection, StoreError>
  }

  private let hosts: [Host]
  private let headStartNanoseconds: Int64
  private let name: @Sendable (Host) -> String
  private let open: @Sendable (Host) throws(StoreError) -> Connection
  /// The index of the host that is tried first.
  private let first = Mutex(0)

  /// - Parameters:
  ///   - hosts: At least one.
  ///   - headStartNanoseconds: How long a host is waited for before the next one is tried as well.
  ///   - name: What to call a host.
  ///   - open: Takes a bounded time.
  package init(
    _ hosts: [Host], headStartNanoseconds: Int64 = 250_000_000,
    name: @escaping @Sendable (Host) -> String,
    open: @escaping @Sendable (Host) throws(StoreError) -> Connection
  ) {
    self.hosts = hosts
    self.headStartNanoseconds = headStartNanoseconds
    self.name = name
    self.open = open
  }

  package var count: Int { hosts.count }

  /// Who connects next begins with the host behind this one, unless somebody has found another since.
  package func leave(_ index: Int) {
    first.withLock { $0 = $0 == index ? (index + 1) % hosts.count : $0 }
  }

  /// Begins with the host that could be used the last time, unless it was left.
  ///
  /// - Returns: A connection, and the index of the host that it leads to.
  /// - Throws: What each came to: `unusable` where none of them will do later either.
  package func connect() throws(StoreError) -> (connection: Connection, index: Int) {
    guard hosts.count > 1 else { return (try open(hosts[0]), 0) }
    let attempts = BatchQueue<Attempt>(capacity: hosts.count)
    var failures: [Int: StoreError] = [:]
    let first = self.first.withLock(\.self)
    var waiting = hosts.indices.map { ($0 + first) % hosts.count }[...]
    var (running, triesLeft) = (0, hosts.count * (1 + Self.triesAgainMax))
    func tryNext() {
      guard triesLeft > 0, let index = waiting.popFirst() else { return }
      start(index, attempts)
      running += 1
      triesLeft -= 1
    }
    while failures.count < hosts.count || running > 0 {
      if running == 0 { tryNext() }
      let patience = waiting.isEmpty || triesLeft == 0 ? nil : headStartNanoseconds
      guard let attempt = attempts.take(max: 1, waitNanoseconds: patience).first else {
        tryNext()
        continue
      }
      running -= 1
      switch attempt.result {
      case .success(let connection):
        self.first.withLock { $0 = attempt.index }
        return (connection, attempt.index)
      case .failure(let error):
        failures[attempt.index] = error
        // While another one is silent this one may become one that can be used: a standby that is promoted.
        if running > 0, error.code != .unusable { waiting.append(attempt.index) }
      }
    }
    let isHopeless = failures.values.allSatisfy { $0.code == .unusable }
    throw StoreError(
      isHopeless ? .unusable : .unavailable,
      failures.sorted { $0.key < $1.key }
        .map { "\(name(hosts[$0.key])): \($0.value.message)" }.joined(separator: "; "))
  }

  /// How often each host is tried once more at most, while another one is waited for.
  private static var triesAgainMax: Int { 7 }

  /// A connection that comes too late closes with the attempt, as nobody else has it.
  private func start(_ index: Int, _ attempts: BatchQueue<Attempt>) {
    let isStarted = BlockingThread.detached { [open, host = hosts[index]] in
      let result = Result { () throws(StoreError) in try open(host) }
      attempts.appendAlways(Attempt(index: index, result: result))
    }
    guard !isStarted else { return }
    let error = StoreError(.unavailable, "there is no room for a thread")
    attempts.appendAlways(Attempt(index: index, result: .failure(error)))
  }
}
