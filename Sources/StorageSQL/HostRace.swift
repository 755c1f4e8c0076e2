package import Storage

/// Connects to one of several hosts: the first that can be used, where each has a head start before the next one
/// is tried beside it. So one that stays silent, as behind a cut link, keeps nobody waiting.
package struct HostRace<Host: Sendable, Connection>: Sendable {
  /// How long a host is waited for before the next one is tried as well.
  package static var headStartNanoseconds: Int64 { 250_000_000 }

  /// `@unchecked Sendable`: made by one thread, then used by the one that it is handed to.
  private struct Attempt: @unchecked Sendable {
    let index: Int
    let result: Result<Connection, StoreError>
  }

  private let open: @Sendable (Host) throws(StoreError) -> Connection

  /// - Parameter open: Takes a bounded time.
  package init(_ open: @escaping @Sendable (Host) throws(StoreError) -> Connection) {
    self.open = open
  }

  /// - Parameters:
  ///   - hosts: At least one.
  ///   - first: The index of the one that is tried first. It may be more than there are.
  /// - Returns: A connection, and the index of the host that it leads to.
  /// - Throws: What each came to: `unusable` where none of them will do later either.
  package func run(
    _ hosts: [Host], first: Int, name: (Host) -> String
  ) throws(StoreError) -> (connection: Connection, index: Int) {
    guard hosts.count > 1 else { return (try open(hosts[0]), 0) }
    let attempts = BatchQueue<Attempt>(capacity: hosts.count)
    var failures: [(index: Int, error: StoreError)] = []
    var waiting = hosts.indices.map { ($0 + first) % hosts.count }[...]
    var running = 0
    while failures.count < hosts.count {
      // The next one is tried where nobody is left to wait for, or who is takes too long.
      if running == 0, let index = waiting.popFirst() {
        start(hosts[index], index, attempts)
        running += 1
      }
      let patience = waiting.isEmpty ? nil : Self.headStartNanoseconds
      guard let attempt = attempts.take(max: 1, waitNanoseconds: patience).first else {
        if let index = waiting.popFirst() {
          start(hosts[index], index, attempts)
          running += 1
        }
        continue
      }
      running -= 1
      switch attempt.result {
      case .success(let connection): return (connection, attempt.index)
      case .failure(let error): failures.append((attempt.index, error))
      }
    }
    failures.sort { $0.index < $1.index }
    let isHopeless = failures.allSatisfy { $0.error.code == .unusable }
    throw StoreError(
      isHopeless ? .unusable : .unavailable,
      failures.map { "\(name(hosts[$0.index])): \($0.error.message)" }.joined(separator: "; "))
  }

  /// A connection that comes too late closes with the attempt.
  private func start(_ host: Host, _ index: Int, _ attempts: BatchQueue<Attempt>) {
    BlockingThread { [open] in
      let result = Result { () throws(StoreError) in try open(host) }
      attempts.appendAlways(Attempt(index: index, result: result))
    }.detach()
  }
}
