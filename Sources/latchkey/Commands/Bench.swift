import ArgumentParser
import Glibc
import LatchkeyClient
import WireSchema

/// `latchkey bench`: measures a service.
struct BenchCommand: SignalAware {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Puts load on a service and measures its answers.",
    discussion: """
      Every stream of every connection has one request under way at all times and sends the next \
      when the answer is there (a closed loop), so latency grows with --streams. Each stream has \
      keys of its own; with fewer keys than streams, streams contend for them, and the losers count \
      as errors (already_exists). Only successful answers count as throughput. What was claimed is \
      released in the end.

        latchkey bench --connections 4 --streams 16 --duration 10s
        latchkey bench --op claim --streams 64 --requests 100000 --output json

      A mix names weights: claim=1,renew=8,release=1,fetch=0. Whoever claims and releases in turn \
      does each as often as the other, so those two weights are the same.

      With --rate, requests are sent when they are due, whatever the answers take (an open loop), \
      and latency counts from when a request was due. So this holds 50,000 leases of 15 s and \
      renews each every 5 s:

        latchkey bench --op renew --keys 50000 --ttl 15s --rate 10000 --duration 60s

      JSON: an object with workload, seconds, operations, total, and more.

      EXIT CODES: 0, also when interrupted by SIGINT, which shows what there is; 69 no server can \
      be reached; 70 no request succeeded; 77 none is allowed; 64 usage.
      """)

  /// Bounds on what one run takes, so that it stays in its memory: 33 KB for each thread and
  /// operation, up to some hundred bytes for each stream and 5 for each key.
  static let connectionsMax = 1_024
  static let streamsMax = 1_024
  static let slotsMax = 65_536
  static let threadsMax = 64
  static let keysMax = 10_000_000
  static let valueBytesMax = 65_536
  static let rateMax = 10_000_000

  @Option(help: "Connections.")
  var connections = 1

  @Option(help: "Requests under way on each connection.")
  var streams = 16

  @Option(help: "How long to measure. (default: 10s)")
  var duration: TimeSpan?

  @Option(help: "How many requests to measure, instead of --duration.")
  var requests: Int?

  @Option(help: "Requests a second of all connections. (default: as many as are answered)")
  var rate: Int?

  @Option(help: "How long to put load on the service before the measurement.")
  var warmup = TimeSpan(.seconds(1))

  @Option(help: "Different keys. (default: one for each stream)")
  var keys: Int?

  @Option(help: ArgumentHelp("What to send, in which proportions.", valueName: "weights"))
  var mix: OperationMix?

  @Option(help: "One operation instead of a mix.")
  var op: SingleOperation?

  @Option(help: ArgumentHelp("The leases, in whole seconds.", valueName: "time"))
  var ttl = TimeSpan(.seconds(60))

  @Option(help: "The size of the values, in bytes.")
  var valueBytes = 0

  @Option(help: "Event loops. (default: half the cores, at most one for each connection)")
  var threads: Int?

  @Option(help: "Makes the sequence of operations the same in every run.")
  var seed: UInt64 = 1

  @Option(
    help: ArgumentHelp(
      "The wire version to send. (default: the newest that all servers speak)",
      valueName: "number"))
  var wire: UInt32?

  @Flag(help: "Leave the keys claimed in the end.")
  var keep = false

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  var awaitedSignals: [Int32] { [SIGINT, SIGTERM] }

  func validate() throws {
    try require(connections, in: 1...Self.connectionsMax, "--connections")
    try require(streams, in: 1...Self.streamsMax, "--streams")
    try require(connections * streams, in: 1...Self.slotsMax, "--connections times --streams")
    try require(keys ?? 1, in: 1...Self.keysMax, "--keys")
    try require(threads ?? 1, in: 1...Self.threadsMax, "--threads")
    try require(valueBytes, in: 0...Self.valueBytesMax, "--value-bytes")
    try require(rate ?? 1, in: 1...Self.rateMax, "--rate")
    try require(requests ?? 1, in: 1...Int.max, "--requests")
    let lease = ttl.duration.components
    guard lease.seconds >= 1, lease.attoseconds == 0 else {
      throw ValidationError("--ttl must be whole seconds, at least one.")
    }
    guard wire.map(WireVersions.spoken.contains) ?? true else {
      throw ValidationError("--wire must be within \(WireVersions.spoken).")
    }
    guard duration == nil || requests == nil else {
      throw ValidationError("--duration and --requests exclude each other.")
    }
    guard duration.map({ $0.duration > .zero }) ?? true else {
      throw ValidationError("--duration must be more than 0.")
    }
    guard mix == nil || op == nil else {
      throw ValidationError("--mix and --op exclude each other.")
    }
  }

  private func require(_ number: Int, in range: ClosedRange<Int>, _ name: String) throws {
    guard range.contains(number) else {
      throw ValidationError("\(name) must be \(range.lowerBound) to \(range.upperBound).")
    }
  }

  mutating func run(_ signals: Signals) async throws {
    let interruption = Interruption()
    signals.receive { signal in
      if !interruption.request() { exitProcess(ExitStatus(signal: signal.number)) }
    }
    var workload = workload
    workload.wire = try await wireVersion()
    let run = LoadRun(
      workload: workload, settings: settings, endpoints: try connection.endpoints(),
      tls: connection.tls, token: connection.token,
      progress: LoadProgress(isShown: !connection.quiet))
    let report = BenchReport(run: run, outcome: try await run.run(interruption))
    switch output.output {
    case .table: report.print()
    case .json: StandardOutput.line(report.json.text)
    }
    let total = report.outcome.record.total
    if total.latency.count == 0 && total.errorCount > 0 {
      let isDenied = total.errors.keys.allSatisfy(
        ["permission_denied", "unauthenticated"].contains)
      throw CommandEnd(status: isDenied ? .denied : .failed)
    }
  }

  /// The version that was asked for, or the newest that all servers speak.
  private func wireVersion() async throws -> any WireVersion.Type {
    var number = wire ?? NewestWire.number
    if wire == nil {
      for endpoint in try connection.endpoints() {
        number = min(number, try await connection.wireVersion(with: endpoint))
      }
    }
    return WireVersions.all.first { $0.number == number } ?? NewestWire.self
  }

  private var workload: Workload {
    var workload = Workload(run: String(UInt64.random(in: 0 ... .max), radix: 36))
    workload.mix = op?.mix ?? mix ?? .default
    workload.connections = connections
    workload.streams = streams
    workload.rate = rate.map(Double.init)
    workload.keys = keys ?? connections * streams
    workload.leaseSeconds = ttl.duration.components.seconds
    workload.value = String(repeating: "x", count: valueBytes)
    workload.seed = seed
    return workload
  }

  /// Threads that make the load.
  var threadCount: Int {
    // The other half is the server's, where both share a machine.
    let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2)
    return min(threads ?? cores, connections)
  }

  private var settings: LoadRun.Settings {
    var settings = LoadRun.Settings()
    settings.threads = threadCount
    settings.warmup = warmup.duration
    settings.timeout = connection.timeout.duration
    settings.keepsKeys = keep
    settings.length =
      requests.map { .requests($0) } ?? .duration(duration?.duration ?? .seconds(10))
    return settings
  }
}
