import ArgumentParser
import Logging

/// The options as they are given on the command line. Each has a twin in the environment, which
/// counts where the option is absent.
struct ServerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Where to listen: HOST:PORT, which speaks TLS where there is a certificate, http://HOST:PORT for clear text in \
      any case, or unix:PATH?mode=660&group=NAME for a socket of this machine. Port 0 takes a free one. May be given \
      several times; in the environment, with commas. [LATCHKEY_LISTEN, default 127.0.0.1:7420]
      """, valueName: "address"))
  var listen: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      The same for /metrics, /status and /events, which are then told nowhere else. [LATCHKEY_ADMIN_LISTEN]
      """, valueName: "address"))
  var adminListen: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      This server's certificate in PEM, followed by those that lead to its authority. It is read again where it \
      changes, and so are the other files of TLS. [LATCHKEY_TLS_CERTIFICATE]
      """, valueName: "path"))
  var tlsCertificate: String?

  @Option(
    help: ArgumentHelp("The certificate's key in PEM. [LATCHKEY_TLS_KEY]", valueName: "path"))
  var tlsKey: String?

  @Option(
    help: ArgumentHelp(
      "The authorities in PEM whose certificates clients have to show. [LATCHKEY_TLS_CLIENT_CA]",
      valueName: "path"))
  var tlsClientCa: String?

  @Option(
    help: ArgumentHelp(
      """
      required: who shows no certificate is not let in. optional: who shows one has it checked. \
      [LATCHKEY_TLS_CLIENT_CERTIFICATES, default required]
      """, valueName: "how"))
  var tlsClientCertificates: String?

  @Option(
    help: ArgumentHelp(
      """
      Who may do what (latchkeyd policy --help). What it does not allow is not allowed; without it everybody may do \
      everything. It is read again where it changes. [LATCHKEY_POLICY]
      """, valueName: "path"))
  var policy: String?

  @Option(
    help: ArgumentHelp(
      """
      The digests of bearer tokens (latchkeyd token --help). It is read again where it changes. [LATCHKEY_TOKENS]
      """, valueName: "path"))
  var tokens: String?

  @Option(
    help: ArgumentHelp(
      """
      The public keys of whoever issues JWTs, as a JWK set: those of Kubernetes' service accounts, or of an OpenID \
      provider. It is read again where it changes. With --jwt-issuer and --jwt-audience. [LATCHKEY_JWT_KEYS]
      """, valueName: "path"))
  var jwtKeys: String?

  @Option(
    help: ArgumentHelp(
      "Whose JWTs are taken (iss), such as https://issuer.example. [LATCHKEY_JWT_ISSUER]",
      valueName: "issuer"))
  var jwtIssuer: String?

  @Option(
    help: ArgumentHelp(
      "For whom JWTs have to be (aud), such as latchkey. [LATCHKEY_JWT_AUDIENCE]",
      valueName: "audience"))
  var jwtAudience: String?

  @Option(
    help: ArgumentHelp(
      """
      An account of who did what to which key, as lines of JSON: a file, or - for stderr. SIGHUP has it go on in a new \
      file where that was moved away. [LATCHKEY_AUDIT_LOG]
      """, valueName: "path"))
  var auditLog: String?

  @Flag(
    help: ArgumentHelp(
      """
      Nothing is granted or released that is not in the account: where it cannot be written, leases are only renewed, and \
      end. Without it they are kept in memory until it can, up to 1 MiB. [LATCHKEY_AUDIT_REQUIRED=true]
      """))
  var auditRequired = false

  @Option(
    help: ArgumentHelp(
      """
      The store: sqlite:PATH, postgresql://USER@HOST,HOST/DATABASE?PARAMETER=VALUE as libpq knows it, or \
      mariadb://USER@HOST,HOST/DATABASE. [LATCHKEY_STORE, default sqlite:./latchkey-data/latchkey.db]
      """, valueName: "url"))
  var store: String?

  @Flag(
    help: ArgumentHelp(
      """
      Do not start where there is no store (exit code 66), as where its disk is not mounted or its name is mistyped: a \
      new one would be empty, and every lock free. [LATCHKEY_STORE_MUST_EXIST=true]
      """))
  var storeMustExist = false

  @Option(
    help: ArgumentHelp(
      """
      A file whose first line is the password of the store's database; LATCHKEY_STORE_PASSWORD is one itself. \
      [LATCHKEY_STORE_PASSWORD_FILE]
      """, valueName: "path"))
  var storePasswordFile: String?

  @Option(
    help: ArgumentHelp(
      "This server's name in its fleet. [LATCHKEY_SERVER_ID, default: host name and a random part]",
      valueName: "name"))
  var serverID: String?

  @Option(
    help: ArgumentHelp(
      "trace, debug, info, notice, warning, error or critical. [LATCHKEY_LOG_LEVEL, default notice]",
      valueName: "level"))
  var logLevel: String?

  @Option(
    help: ArgumentHelp(
      """
      text, for people; json or logfmt, for programs. In a journal of systemd lines have their level as it wants it. \
      [LATCHKEY_LOG_FORMAT, default text]
      """, valueName: "format"))
  var logFormat: String?

  @Option(
    help: ArgumentHelp(
      "Threads that serve connections. [LATCHKEY_THREADS, default: half the cores, at least 1]",
      valueName: "count"))
  var threads: String?

  @Option(
    help: ArgumentHelp(
      "Connections that may be open at once. [LATCHKEY_MAX_CONNECTIONS, default 10000]",
      valueName: "count"))
  var maxConnections: String?

  @Option(
    help: ArgumentHelp(
      "The largest body of a request. [LATCHKEY_MAX_BODY_BYTES, default 524288]",
      valueName: "bytes"))
  var maxBodyBytes: String?

  @Option(
    help: ArgumentHelp(
      "Requests that may wait for the store. [LATCHKEY_MAX_QUEUE, default 50000]",
      valueName: "count"))
  var maxQueue: String?

  @Option(
    help: ArgumentHelp(
      """
      How long a connection of HTTP/1.1 may be idle until it is closed: longer than at the load \
      balancer in front of it. [LATCHKEY_HTTP1_IDLE_SECONDS, default 75]
      """, valueName: "seconds"))
  var http1IdleSeconds: String?

  @Option(
    help: ArgumentHelp(
      "The same for a connection of HTTP/2. [LATCHKEY_HTTP2_IDLE_SECONDS, default 600]",
      valueName: "seconds"))
  var http2IdleSeconds: String?

  @Option(
    help: ArgumentHelp(
      """
      For how long a server that was told to end goes on as before, but for /readyz, which says that it ends: longer than \
      a load balancer takes to notice. [LATCHKEY_DRAIN_DELAY_SECONDS, default 0]
      """, valueName: "seconds"))
  var drainDelaySeconds: String?

  @Option(
    help: ArgumentHelp(
      "How long a shutdown waits for requests in flight. [LATCHKEY_DRAIN_SECONDS, default 10]",
      valueName: "seconds"))
  var drainSeconds: String?

  @Option(
    help: ArgumentHelp(
      """
      A row that has been free for one to two times this long is deleted. \
      [LATCHKEY_FREE_ROW_SECONDS, default 3600]
      """, valueName: "seconds"))
  var freeRowSeconds: String?

  @Option(
    help: ArgumentHelp(
      """
      How many releases back a rollback has to be possible: for as long, the store keeps what they can \
      read. 0 keeps nothing for releases that do not run. [LATCHKEY_ROLLBACK_RELEASES, default 1]
      """, valueName: "count"))
  var rollbackReleases: String?
}
