import Glibc
import Synchronization

/// A MariaDB server of this test run's own, or a Galera cluster of several on this machine, in a temporary
/// folder. It ends soon after the tests. The single server has a certificate for 127.0.0.1; the cluster is
/// without TLS.
package final class MariaDBCluster: Sendable {
  package static let user = "latchkey"
  package static let password = "pass/w@rd"

  /// Where each node has its data and its socket: "node1" and so on.
  package let folder: String
  /// Of each node, where clients come in.
  package let ports: [Int]
  private let program: Program

  /// Arguments: the folder, the process that is to be served, then of each node four ports, separated by
  /// commas: for clients, and for Galera's group, its missing transactions and its state transfer.
  private static let script = #"""
    set -e
    PATH=$PATH:/usr/sbin
    folder=$1 served=$2
    shift 2
    cd "$folder"
    as_user=
    # MariaDB refuses to be root.
    if [ "$(id -u)" = 0 ]; then as_user=--user=mysql; chmod 755 .; fi
    echo "FLUSH PRIVILEGES;" > users.sql
    for host in localhost %; do
      echo "CREATE USER latchkey@'$host' IDENTIFIED BY 'pass/w@rd';"
      echo "GRANT ALL ON *.* TO latchkey@'$host';"
    done >> users.sql
    mkdir node1
    [ -z "$as_user" ] || chown mysql node1
    mariadb-install-db --no-defaults --datadir="$folder/node1/data" --skip-test-db $as_user \
      --auth-root-authentication-method=normal --extra-file=users.sql > install.log 2>&1
    group=
    for ports; do
      rest=${ports#*,}
      group=$group${group:+,}127.0.0.1:${rest%%,*}
    done
    number=1
    while [ $number != $# ]; do
      number=$((number + 1))
      cp -a node1 node$number
    done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem \
      -out certificate.pem -subj /CN=latchkey -addext subjectAltName=IP:127.0.0.1 2> certificate.log
    chmod 644 key.pem
    ask() { mariadb --no-defaults -N -u root -S "node$1/socket" -e "$2" 2> /dev/null; }
    number=0 servers= first=--wsrep-new-cluster
    for ports; do
      number=$((number + 1))
      port=${ports%%,*} rest=${ports#*,}
      listen=${rest%%,*} rest=${rest#*,}
      echo '[mariadbd]' > node$number.cnf
      [ $# = 1 ] || cat > node$number.cnf <<EOF
    [mariadbd]
    wsrep_on=ON
    wsrep_provider=/usr/lib/galera/libgalera_smm.so
    wsrep_cluster_address=gcomm://$group
    wsrep_node_name=node$number
    wsrep_node_address=127.0.0.1:$listen
    wsrep_provider_options="gmcast.listen_addr=tcp://127.0.0.1:$listen;ist.recv_addr=127.0.0.1:${rest%%,*};gcache.size=32M"
    wsrep_sst_method=rsync
    wsrep_sst_receive_address=127.0.0.1:${rest#*,}
    binlog_format=ROW
    innodb_autoinc_lock_mode=2
    EOF
      node=$folder/node$number options=$first
      [ $# != 1 ] || options="--ssl-cert=$folder/certificate.pem --ssl-key=$folder/key.pem"
      mariadbd --defaults-file=$node.cnf $as_user --datadir=$node/data --socket=$node/socket \
        --pid-file=$node/pid --port="$port" --bind-address=127.0.0.1 --skip-name-resolve \
        --innodb-flush-log-at-trx-commit=1 --innodb-log-file-size=48M --innodb-buffer-pool-size=64M \
        --max-connections=500 $options > $node.log 2>&1 &
      server=$!
      servers="$server $servers"
      first=
      until ask $number "SELECT 1" > /dev/null; do
        kill -0 $server
        sleep 0.1
      done
    done
    while [ $number != 0 ]; do
      until [ $# = 1 ] || ask $number "SHOW STATUS LIKE 'wsrep_local_state_comment'" | grep -q Synced \
          && ask $number "SELECT count(*) FROM mysql.user" > /dev/null; do
        sleep 0.1
      done
      number=$((number - 1))
    done
    : > ready
    # Nobody reads it any more in the end.
    exec > /dev/null 2>&1
    while kill -0 "$served" 2> /dev/null; do sleep 0.5; done
    kill -9 $servers
    wait $servers || :
    rm -rf "$folder"
    """#

  /// One of a test's own, which ends with the test run as well.
  package static func start(nodes: Int) throws -> MariaDBCluster {
    try MariaDBCluster(nodes: nodes)
  }

  private init(nodes: Int) throws {
    var name = Array("/tmp/latchkey-mariadb-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw ProgramError("no temporary folder") }
    folder = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    let ports = try Self.freePorts(nodes * 4)
    self.ports = (0..<nodes).map { ports[$0 * 4] }
    let lists = (0..<nodes).map { node in
      ports[node * 4..<node * 4 + 4].map { "\($0)" }.joined(separator: ",")
    }
    program = try Program("/bin/sh", ["-c", Self.script, "sh", folder, "\(getpid())"] + lists)
    let end = ContinuousClock.now + Program.waitMax
    while access("\(folder)/ready", F_OK) != 0 {
      guard !program.hasEnded, .now < end else {
        throw ProgramError("MariaDB does not start: see \(folder)")
      }
      usleep(50_000)
    }
  }

  private static let single = Result { try MariaDBCluster(nodes: 1) }
  private static let galera = Result { try MariaDBCluster(nodes: 3) }

  /// The server of this test run, started by whoever comes first.
  package static func running() throws -> MariaDBCluster { try single.get() }

  /// The same of three nodes.
  package static func runningGalera() throws -> MariaDBCluster { try galera.get() }

  /// What is missing on this machine, in words; nil where both can run.
  package static let isMissing: String? = {
    let needed = [
      "/usr/sbin/mariadbd", "/usr/lib/galera/libgalera_smm.so", "/usr/bin/rsync",
      "/usr/bin/socat", "/usr/bin/openssl",
    ]
    return needed.first { access($0, F_OK) != 0 }.map { "there is no \($0)" }
  }()

  package var certificate: String { "\(folder)/certificate.pem" }

  package func socket(ofNode node: Int) -> String { "\(folder)/node\(node + 1)/socket" }

  /// How to get to a database of it.
  ///
  /// - Parameter first: The node that is tried first.
  package func uri(_ database: String, first: Int = 0) -> String {
    let hosts = ports.indices.map { "127.0.0.1:\(ports[($0 + first) % ports.count])" }
    return "mariadb://\(Self.user)@\(hosts.joined(separator: ","))/\(database)"
  }

  private static func freePorts(_ count: Int) throws -> [Int] {
    var taken: [Int32] = []
    defer { for descriptor in taken { close(descriptor) } }
    return try (0..<count).map { _ in
      let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      taken.append(descriptor)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let code = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
        }
      }
      guard code == 0 else { throw ProgramError("no port: \(String(cString: strerror(errno)))") }
      return Int(UInt16(bigEndian: address.sin_port))
    }
  }
}
