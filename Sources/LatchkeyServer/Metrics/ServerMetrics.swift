package import CoreMetrics
package import Logging
import Metrics
package import Storage
import Exclusion
import struct Synchronization.Atomic
import WireSchema

/// What the server reports of itself, and the names under which it does.
package final class ServerMetrics: Sendable {
  /// What each metric means.
  package static let help: [String: String] = [
    "latchkey_requests_total": "Requests answered, by method, wire version and Connect code.",
    "latchkey_request_duration_seconds":
      "From a request's last byte to its answer, where it does not ask to wait.",
    waitDuration:
      "From the last byte of a request that may wait to its answer: granted, or ended otherwise.",
    "latchkey_held": "Resources held, as this server last saw them, by kind.",
    "latchkey_expirations_total": "Leases that this server ended.",
    "latchkey_commits_total": "Transactions committed.",
    "latchkey_commit_commands": "Commands in one transaction.",
    "latchkey_commit_duration_seconds": "From the first statement of a transaction to its commit.",
    "latchkey_connections": "Open connections, by protocol.",
    "latchkey_connections_opened_total": "Connections accepted, by protocol.",
    "latchkey_connections_ended_total": "HTTP/2 connections that ended, by reason.",
    "latchkey_connections_failed_total":
      "Connections that failed before it was known what they speak, by reason.",
    "latchkey_connections_refused_total":
      "Connections closed at once because as many as may be were open.",
    "latchkey_negotiated_total":
      "HTTP/2 connections by the newest wire version both sides speak; none without a handshake.",
    "latchkey_stalled_seconds_total": "Time in which this server could not do its work.",
    "latchkey_store_failures_total": "Transactions that failed.",
    "latchkey_scan_failures_total": "Looks for what other servers wrote that failed.",
    "latchkey_waiters": "Calls that wait until a key is free.",
    "latchkey_store_conflicts_total":
      "Transactions that were decided anew, since another server was faster.",
    "latchkey_store_setbacks_total":
      "How often the database has gone back in time, and lacked what was acknowledged.",
    "latchkey_store_up": "Whether the latest transaction was committed.",
    "latchkey_damaged_rows_total": "Rows left out of answers because they are damaged.",
    "latchkey_store_log_bytes": "What the store's log takes on the disk.",
    "latchkey_collected_rows_total": "Long-free rows that this server deleted.",
    "latchkey_filled_rows_total": "Rows that this server brought into the newest shape.",
    "latchkey_store_shape": "The newest, the oldest maintained and the filled shape of the store.",
    "latchkey_backfill_row": "The row that the backfill has come to; the last one when it is done.",
    "latchkey_store_info": "Always 1; the label says which store it is.",
    "latchkey_store_made_timestamp_seconds": "When the store was made, in seconds since 1970.",
    "latchkey_store_last_row": "The number of the store's last row.",
    "latchkey_fleet_servers": "Servers whose presence is in the store, by release.",
    "latchkey_tls_certificate_days_left":
      "Whole days until this server's certificate is not valid any more; -1 after that.",
    "latchkey_build_info": "Always 1; the labels say what runs.",
    "latchkey_audit_lines_dropped_total":
      "Lines of the audit log that there was no room for: it could not be written.",
    "latchkey_log_lines_dropped_total": "Lines of the log that nobody read in time.",
  ]

  static let waitDuration = "latchkey_wait_duration_seconds"

  /// Bounds of the histograms in seconds that have others than most: of a wait, up to the longest.
  package static let timerBounds: [String: [Double]] = [
    waitDuration: [
      0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600,
    ]
  ]

  private let factory: any MetricsFactory
  private let logger: Logger

  private let locks: Gauge
  private let presences: Gauge
  private let waiters: Gauge
  private let expirations: Counter
  private let commits: Counter
  private let commitCommands: Recorder
  private let commitDuration: Metrics.Timer
  private let stalledSeconds: FloatingPointCounter
  private let failures: Counter
  private let conflicts: Counter
  private let setbacks: Counter
  private let scanFailures: Counter
  private let refusedConnections: Counter
  private let isFull = Atomic<Bool>(false)
  private let storeUp: Gauge
  private let logBytes: Gauge
  private let damaged: Counter
  private let collectedRows: Counter
  private let filledRows: Counter
  /// Releases that were seen in the fleet.
  private let releases = Mutex<Set<String>>([])
  private let histories: BoundedLog
  private let stallBeginnings: BoundedLog
  private let stalls: BoundedLog
  private let isFailing = Atomic<Bool>(false)
  private let isScanFailing = Atomic<Bool>(false)

  package init(factory: any MetricsFactory, logger: Logger) {
    self.factory = factory
    self.logger = logger
    histories = BoundedLog(logger, every: .seconds(10))
    stallBeginnings = BoundedLog(logger, every: .seconds(10))
    stalls = BoundedLog(logger, every: .seconds(10))
    locks = Gauge(label: "latchkey_held", dimensions: [("kind", "lock")], factory: factory)
    presences = Gauge(label: "latchkey_held", dimensions: [("kind", "presence")], factory: factory)
    expirations = Counter(label: "latchkey_expirations_total", factory: factory)
    commits = Counter(label: "latchkey_commits_total", factory: factory)
    commitCommands = Recorder(
      label: "latchkey_commit_commands", dimensions: [], aggregate: true, factory: factory)
    commitDuration = Metrics.Timer(label: "latchkey_commit_duration_seconds", factory: factory)
    stalledSeconds = FloatingPointCounter(
      label: "latchkey_stalled_seconds_total", factory: factory)
    failures = Counter(label: "latchkey_store_failures_total", factory: factory)
    refusedConnections = Counter(label: "latchkey_connections_refused_total", factory: factory)
    scanFailures = Counter(label: "latchkey_scan_failures_total", factory: factory)
    conflicts = Counter(label: "latchkey_store_conflicts_total", factory: factory)
    setbacks = Counter(label: "latchkey_store_setbacks_total", factory: factory)
    storeUp = Gauge(label: "latchkey_store_up", factory: factory)
    logBytes = Gauge(label: "latchkey_store_log_bytes", factory: factory)
    damaged = Counter(label: "latchkey_damaged_rows_total", factory: factory)
    collectedRows = Counter(label: "latchkey_collected_rows_total", factory: factory)
    filledRows = Counter(label: "latchkey_filled_rows_total", factory: factory)
    waiters = Gauge(label: "latchkey_waiters", factory: factory)
    storeUp.record(1)
    let range = WireVersions.spoken
    Gauge(
      label: "latchkey_build_info",
      dimensions: [
        ("version", Release.version), ("wire", range.headerValue),
        ("shape", "\(S1.number)-\(KnownShapes.all.newest)"),
      ], factory: factory
    ).record(1)
  }

  /// The counters of one method, for one event loop to keep.
  func method(_ name: String, wire: UInt32) -> MethodMetrics {
    MethodMetrics(name, wire: wire, factory: factory)
  }

  func connections(_ protocolName: String) -> Meter {
    Meter(
      label: "latchkey_connections", dimensions: [("protocol", protocolName)], factory: factory)
  }

  func opened(_ protocolName: String) {
    isFull.store(false, ordering: .relaxed)
    Counter(
      label: "latchkey_connections_opened_total", dimensions: [("protocol", protocolName)],
      factory: factory
    ).increment()
  }

  func refusedConnection(max: Int) {
    refusedConnections.increment()
    if !isFull.exchange(true, ordering: .relaxed) {
      logger.warning(
        "connections are refused: as many as may be are open", metadata: ["max": "\(max)"])
    }
  }

  func ended(reason: String) {
    Counter(
      label: "latchkey_connections_ended_total", dimensions: [("reason", reason)],
      factory: factory
    ).increment()
  }

  func negotiated(_ version: UInt32?) {
    Counter(
      label: "latchkey_negotiated_total",
      dimensions: [("wire", version.map { "\($0)" } ?? "none")], factory: factory
    ).increment()
  }
}

extension ServerMetrics {
  /// Reports who lives and how far the store is.
  func note(_ view: FleetView, meta: StoreMeta, lastRow: Int64) {
    for (which, shape) in [
      ("newest", meta.newestShape), ("oldest", meta.oldestShape), ("filled", meta.filledShape),
    ] {
      gauge("latchkey_store_shape", ("which", which)).record(shape)
    }
    gauge("latchkey_store_last_row").record(lastRow)
    if let birth = meta.birth {
      gauge("latchkey_store_info", ("id", birth.id)).record(1)
      if birth.seconds > 0 {
        gauge("latchkey_store_made_timestamp_seconds").record(birth.seconds)
      }
    }
    let isDone = meta.backfill.row == BackfillState.done
    gauge("latchkey_backfill_row").record(isDone ? lastRow : meta.backfill.row)
    let counts = Dictionary(view.members.map { ($0.presence.software, 1) }, uniquingKeysWith: +)
    let known = releases.withLock { known in
      for release in counts.keys where known.count < Self.releasesMax { known.insert(release) }
      return known
    }
    for release in known {
      gauge("latchkey_fleet_servers", ("software", release)).record(counts[release] ?? 0)
    }
  }

  func droppedAuditLines(_ count: Int) {
    Counter(label: "latchkey_audit_lines_dropped_total", factory: factory).increment(by: count)
  }

  func certificate(daysLeft: Int64) {
    gauge("latchkey_tls_certificate_days_left").record(daysLeft)
  }

  /// Releases that have a count of their own; others are not counted.
  private static let releasesMax = 32

  private func gauge(_ label: String, _ dimensions: (String, String)...) -> Gauge {
    Gauge(label: label, dimensions: dimensions, factory: factory)
  }
}

extension ServerMetrics: StoreObserver {
  package func committed(commands: Int, expiries: Int, nanoseconds: Int64) {
    commits.increment()
    commitCommands.record(Int64(commands))
    commitDuration.recordNanoseconds(nanoseconds)
    if expiries > 0 {
      expirations.increment(by: Int64(expiries))
      logger.debug("leases ended", metadata: ["count": "\(expiries)"])
    }
  }

  package func madeStore() {
    logger.warning(
      """
      created a new, empty store: if there should be one here with locks in it, stop this server, which would grant them \
      again, and look where that is (--store-must-exist makes none)
      """)
  }

  package func failed(_ error: StoreError) {
    failures.increment()
    storeUp.record(0)
    // Once per outage: a full disk must not also be filled with log lines.
    if !isFailing.exchange(true, ordering: .relaxed) {
      logger.error("the store failed", metadata: ["error": "\(error)"])
    }
  }

  package func conflicted() { conflicts.increment() }

  package func historyChanged() {
    histories.log(
      .notice,
      "the database has another history than before, such as after a fail-over; nothing is granted until all servers have put back what it lacks"
    )
  }

  package func wentBack(putBack: Int) {
    setbacks.increment()
    logger.critical(
      """
      the database has gone back in time and lacked what was acknowledged, such as after a fail-over to a \
      standby that was behind: what this server knew to be held is put back, and tokens go on above all \
      that were given out; what only servers knew that are gone, and what holders wrote, may be lost
      """,
      metadata: ["put_back": "\(putBack)"])
  }

  package func recovered() { storeUp.record(1) }

  package func outageEnded() {
    isFailing.store(false, ordering: .relaxed)
    logger.notice("the store works again")
  }

  package func scanned() { isScanFailing.store(false, ordering: .relaxed) }

  package func scanFailed(_ error: StoreError) {
    scanFailures.increment()
    if !isScanFailing.exchange(true, ordering: .relaxed) {
      logger.warning(
        "what other servers wrote could not be read; it is tried again",
        metadata: ["error": "\(error)"])
    }
  }

  package func holding(locks: Int, presences: Int) {
    self.locks.record(locks)
    self.presences.record(presences)
  }

  package func waiting(_ count: Int) { waiters.record(count) }

  package func stallBegan(nanoseconds: Int64) {
    stallBeginnings.log(
      .warning, "a thread of this server stands still; no lease ends until it has caught up",
      metadata: ["milliseconds": "\(nanoseconds / 1_000_000)"])
  }

  package func stalled(nanoseconds: Int64, isOfStore: Bool) {
    stalledSeconds.increment(by: Double(nanoseconds) / 1e9)
    stalls.log(
      .warning,
      isOfStore
        ? "a transaction of the store took long; no lease ends until what waited meanwhile is done"
        : "this server was stalled; no lease ends until it has caught up",
      metadata: ["milliseconds": "\(nanoseconds / 1_000_000)"])
  }

  package func skipped(damage: String, untold: Int?) {
    damaged.increment()
    guard let untold else { return }
    logger.error(
      "a damaged row was left out of an answer; that is said once an hour",
      metadata: ["row": "\(damage)", "repeats": "\(untold)"])
  }

  package func remarked(_ remark: String) { logger.warning("\(remark)") }

  package func logTakes(bytes: Int64) { logBytes.record(bytes) }

  package func logIsLong(bytes: Int64) {
    logger.warning(
      """
      the store's log grows: somebody reads the store without an end, such as a sqlite3 shell with an \
      open transaction; end it, fuser(1) on the store's file names it
      """, metadata: ["bytes": "\(bytes)"])
  }

  package func upkeepFailed(_ error: StoreError) {
    // Of a store that fails that is said.
    guard !isFailing.load(ordering: .relaxed) else { return }
    logger.warning(
      "the upkeep of the store's rows failed; it is tried again",
      metadata: ["error": "\(error)"])
  }

  package func filled(rows: Int) { filledRows.increment(by: Int64(rows)) }

  package func gaveUpShapes(before shape: Int64) {
    logger.notice(
      "nobody needs the older shapes of the store any more: they were given up",
      metadata: ["oldest": "s\(shape)"])
  }

  package func collected(rows: Int) {
    collectedRows.increment(by: Int64(rows))
    logger.debug("long-free rows deleted", metadata: ["count": "\(rows)"])
  }
}
