import Foundation
import NIOCore
import NIOPosix

/// A reverse proxy of the system that takes HTTP/2 in front of a server. It passes on neither settings
/// nor frames that it does not know.
package struct ProxyProgram: Sendable {
  package enum Software: String, CaseIterable, Sendable {
    /// Speaks HTTP/2 with the server.
    case haproxy
    /// Speaks HTTP/1.1 with the server.
    case nginx
    /// Ends TLS, and speaks HTTP/2 in clear text with the server.
    case haproxyEndingTLS
    /// Passes on what comes, TLS included.
    case haproxyPassingTLS
  }

  package let program: Program
  package let port: Int
  private let folder: StoreFolder

  /// Returns when the proxy takes connections.
  ///
  /// - Parameter certificate: Of one that ends TLS: a file with the key in it.
  package static func start(
    _ software: Software, to serverPort: Int, certificate: String = ""
  ) async throws -> ProxyProgram {
    // Neither can choose a port and say which: another process may get there first.
    for _ in 0..<10 {
      if let proxy = try await start(
        software, on: try await freePort(), to: serverPort, certificate)
      {
        return proxy
      }
    }
    throw ProgramError("\(software.rawValue) did not get a port")
  }

  /// Ends the proxy at once.
  package func kill() async throws {
    program.signal(SIGKILL)
    _ = try await program.exit()
  }

  private static func start(
    _ software: Software, on port: Int, to serverPort: Int, _ certificate: String
  ) async throws -> ProxyProgram? {
    let folder = try StoreFolder()
    let file = folder.path("\(software.rawValue).conf")
    try configuration(of: software, port, serverPort, folder: folder.path(""), certificate)
      .write(toFile: file, atomically: false, encoding: .utf8)
    let program =
      switch software {
      case .haproxy, .haproxyEndingTLS, .haproxyPassingTLS:
        try Program("/usr/sbin/haproxy", ["-db", "-f", file])
      case .nginx: try Program("/usr/sbin/nginx", ["-c", file, "-p", folder.path("")])
      }
    while true {
      if let connection = try? await RawConnection.open(port: port) {
        connection.close()
        return ProxyProgram(program: program, port: port, folder: folder)
      }
      if program.hasEnded { return nil }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  private static func freePort() async throws -> Int {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: InProcessServer.host, port: 0).get()
    defer { server.close(promise: nil) }
    return server.localAddress!.port!
  }

  private static func configuration(
    of software: Software, _ port: Int, _ serverPort: Int, folder: String, _ certificate: String
  ) -> String {
    func haproxy(mode: String, bind: String, server: String) -> String {
      """
      defaults
        mode \(mode)
        timeout connect 10s
        timeout client 120s
        timeout server 120s
      listen latchkey
        bind 127.0.0.1:\(port) \(bind)
        server one 127.0.0.1:\(serverPort) \(server)

      """
    }
    return switch software {
    case .haproxy: haproxy(mode: "http", bind: "proto h2", server: "proto h2")
    case .haproxyEndingTLS:
      haproxy(mode: "http", bind: "ssl crt \(certificate) alpn h2,http/1.1", server: "proto h2")
    case .haproxyPassingTLS: haproxy(mode: "tcp", bind: "", server: "")
    case .nginx:
      """
      daemon off;
      master_process off;
      pid \(folder)nginx.pid;
      error_log stderr;
      events {}
      http {
        access_log off;
        client_body_temp_path \(folder)body;
        proxy_temp_path \(folder)proxy;
        fastcgi_temp_path \(folder)fastcgi;
        uwsgi_temp_path \(folder)uwsgi;
        scgi_temp_path \(folder)scgi;
        server {
          listen 127.0.0.1:\(port) http2;
          location / {
            proxy_pass http://127.0.0.1:\(serverPort);
            proxy_http_version 1.1;
            proxy_read_timeout 120s;
          }
        }
      }

      """
    }
  }
}
