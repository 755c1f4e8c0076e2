import Glibc

/// A PostgreSQL server of this test run's own, alone, behind a pooler, or with a standby that commits wait for, in
/// a temporary folder and without a port. It ends soon after the tests.
package final class PostgresCluster: Sendable {
  /// Where its socket is.
  package let folder: String
  /// Where that of its standby is, if it has one.
  package var standbyFolder: String { "\(folder)/standby" }
  private let program: Program

  /// What there is beside the server itself.
  private enum Companion: String {
    case none = ""
    case standby, pooler
  }

  /// Arguments: the folder, the process that is to be served, and the companion. PostgreSQL and pgbouncer refuse to
  /// be root.
  private static let script = #"""
    set -e
    run() { if [ "$(id -u)" = 0 ]; then setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; else "$@"; fi; }
    [ "$(id -u)" != 0 ] || chown 65534:65534 "$1"
    PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
    cd "$1"
    run initdb -D data -A trust -U latchkey -E UTF8 --no-locale -N > initdb.log 2>&1
    start() {
      run postgres -D "$1" -k "$2" -c listen_addresses= -c max_connections=500 "$3" > "$2/postgres.log" 2>&1 &
      server=$!
      until run pg_isready -q -h "$2"; do kill -0 $server; sleep 0.1; done
    }
    start data "$1" -cmax_wal_senders=4
    if [ "$3" = pooler ]; then
      mkdir pooler
      [ "$(id -u)" != 0 ] || chown 65534:65534 pooler
      cat > pooler.ini <<EOF
    [databases]
    * = host=$1 user=latchkey
    [pgbouncer]
    listen_addr =
    unix_socket_dir = $1/pooler
    pidfile = $1/pooler/pid
    logfile = $1/pooler/log
    auth_type = any
    pool_mode = transaction
    max_client_conn = 1000
    default_pool_size = 10
    server_idle_timeout = 5
    EOF
      chmod 644 pooler.ini
      PATH=$PATH:/usr/sbin
      run pgbouncer -q pooler.ini > pooler.log 2>&1 &
      pooler=$!
      until run pg_isready -q -h "$1/pooler" -p 6432; do kill -0 $pooler; sleep 0.1; done
      pooler=$(cat pooler/pid)
    fi
    if [ "$3" = standby ]; then
      mkdir standby
      [ "$(id -u)" != 0 ] || chown 65534:65534 standby
      run pg_basebackup -h "$1" -U latchkey -D standby/data -R -X stream -c fast > basebackup.log 2>&1
      start standby/data "$1/standby" "-cprimary_conninfo=host=$1 user=latchkey application_name=$3"
      ask() { run psql -XAtq -h "$1" -U latchkey -d postgres -c "$2"; }
      ask "$1" "ALTER SYSTEM SET synchronous_standby_names = '$3'"
      ask "$1" "SELECT pg_reload_conf()" > /dev/null
      until [ "$(ask "$1" "SELECT sync_state FROM pg_stat_replication")" = sync ]; do sleep 0.1; done
    fi
    : > ready
    while kill -0 "$2" 2> /dev/null; do sleep 0.5; done
    [ -z "$pooler" ] || kill $pooler
    for data in data standby/data; do
      [ ! -d $data ] || run pg_ctl -D $data -m immediate stop > /dev/null
    done
    rm -rf "$1"
    """#

  private init(with companion: Companion = .none) throws {
    var name = Array("/tmp/latchkey-postgres-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw ProgramError("no temporary folder") }
    folder = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    program = try Program(
      "/bin/sh", ["-c", Self.script, "sh", folder, "\(getpid())", companion.rawValue])
    let end = ContinuousClock.now + Program.waitMax
    while access("\(folder)/ready", F_OK) != 0 {
      guard !program.hasEnded, .now < end else {
        throw ProgramError("PostgreSQL does not start: see \(folder)")
      }
      usleep(50_000)
    }
  }

  /// One of a test's own, with a standby.
  package static func startWithStandby() throws -> PostgresCluster {
    try PostgresCluster(with: .standby)
  }

  /// One of a test's own.
  package static func startAlone() throws -> PostgresCluster { try PostgresCluster() }

  /// Has it do something, as an administrator would.
  package func ask(_ text: String, database: String = "postgres") async throws {
    let result = try await Program.run(
      "/usr/bin/psql",
      [
        "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U", "latchkey", "-d", database, "-c",
        text,
      ])
    guard result.end == .exited(0) else { throw ProgramError("psql: \(result.errors)") }
  }

  private static let shared = Result { try PostgresCluster() }
  private static let pooled = Result { try PostgresCluster(with: .pooler) }

  /// The one of this test run, started by whoever comes first.
  package static func running() throws -> PostgresCluster { try shared.get() }

  /// The same behind a pooler, which gives each transaction another connection.
  package static func runningWithPooler() throws -> PostgresCluster { try pooled.get() }

  /// What is missing for that on this machine, in words; nil where it can run.
  package static let isPoolerMissing: String? =
    isMissing
    ?? (access("/usr/sbin/pgbouncer", F_OK) == 0 ? nil : "there is no /usr/sbin/pgbouncer")

  /// What is missing on this machine, in words; nil where it can run.
  package static let isMissing: String? = {
    var found = glob_t()
    defer { globfree(&found) }
    return glob("/usr/lib/postgresql/*/bin/postgres", 0, nil, &found) == 0
      ? nil : "there is no PostgreSQL below /usr/lib/postgresql"
  }()

  /// How to get to a database of it.
  package func uri(_ database: String) -> String {
    "postgresql:///\(database)?host=\(folder)&user=latchkey"
  }

  /// The same, where the standby is to be tried as well; whichever can be written to, by what it says itself.
  package func uriOfBoth(_ database: String) -> String {
    "postgresql:///\(database)?host=\(folder),\(standbyFolder)&user=latchkey&target_session_attrs=read-write"
  }

  package func uriOfPooler(_ database: String) -> String {
    "postgresql:///\(database)?host=\(folder)/pooler&port=6432&user=latchkey"
  }

  package func uriOfStandby(_ database: String) -> String {
    "postgresql:///\(database)?host=\(standbyFolder)&user=latchkey"
  }
}
