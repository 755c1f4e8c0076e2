import Foundation
import SwiftProtobuf
import Exclusion
import TestKit
import Testing

/// How a client's requests come to a server.
enum Route: String, CaseIterable, Sendable {
  case direct
  /// A proxy that speaks HTTP/2 on both sides.
  case haproxy
  /// A proxy that speaks HTTP/1.1 with the server.
  case nginx
  /// TLS between client and server.
  case tls
  /// A proxy that ends TLS, and speaks clear text with the server.
  case haproxyEndingTLS
  /// A proxy that passes TLS on.
  case haproxyPassingTLS
  /// Every message gets fields that no version knows, on its way.
  case unknownFields
  /// Every other call is carried out, and the client never hears of it.
  case lostAnswers

  /// Those that leave the messages as they are.
  static let faithful = [Route.direct, .haproxy, .nginx]

  /// Whether the server speaks TLS.
  var hasTLSServer: Bool { self == .tls || self == .haproxyPassingTLS }
  /// Whether the client does.
  var hasTLSClient: Bool { hasTLSServer || self == .haproxyEndingTLS }

  /// Whether programs of these releases can meet so.
  func isOpen(to client: ReleasedPrograms, _ server: ReleasedPrograms) -> Bool {
    (!hasTLSClient || client.speaksTLS) && (!hasTLSServer || server.speaksTLS)
  }
}

/// A server of one version on a store of its own, and clients that find it by some route.
final class Stage: Sendable {
  let route: Route
  /// Where clients find the server.
  let address: String
  let port: Int
  private let folder: StoreFolder
  private let server: Mutex<ServerProgram>
  private let authority: TestAuthority
  /// Of a server that speaks TLS.
  private let serverArguments: [String]
  private let closeRoute: @Sendable () async throws -> Void

  private init(_ release: ReleasedPrograms, _ route: Route) async throws {
    self.route = route
    folder = try StoreFolder()
    authority = try TestAuthority(in: folder)
    let issued = try authority.issue("server")
    serverArguments =
      route.hasTLSServer
      ? ["--tls-certificate", issued.certificate, "--tls-key", issued.key] : []
    let server = try await ServerProgram.start(
      release.server, store: folder.file, arguments: serverArguments)
    self.server = Mutex(server)
    do {
      (port, closeRoute) = try await Self.open(
        route, to: server.port, certificate: try authority.together(issued))
    } catch {
      try await server.kill()
      throw error
    }
    address = "\(route.hasTLSClient ? "https://" : "")127.0.0.1:\(port)"
  }

  /// Runs `body` with a fresh store, of which all is gone afterwards.
  static func run(
    server: ReleasedPrograms, _ route: Route, _ body: (Stage) async throws -> Void
  ) async throws {
    let stage = try await Stage(server, route)
    do {
      try await body(stage)
    } catch {
      try? await stage.close()
      throw error
    }
    try await stage.close()
  }

  /// The same by several routes at once.
  static func run(
    server: ReleasedPrograms, _ routes: [Route],
    _ body: @escaping @Sendable (Stage) async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for route in routes {
        group.addTask { try await run(server: server, route, body) }
      }
      try await group.waitForAll()
    }
  }

  private func close() async throws {
    try await closeRoute()
    try await server.withLock { $0 }.kill()
  }

  private static func open(
    _ route: Route, to port: Int, certificate: String
  ) async throws -> (Int, @Sendable () async throws -> Void) {
    switch route {
    case .direct, .tls: return (port, {})
    case .haproxy, .nginx, .haproxyEndingTLS, .haproxyPassingTLS:
      let software = ProxyProgram.Software(rawValue: route.rawValue)!
      let proxy = try await ProxyProgram.start(software, to: port, certificate: certificate)
      return (proxy.port, { try await proxy.kill() })
    case .unknownFields, .lostAnswers:
      let habit = route == .unknownFields ? Intermediary.Habit.addsUnknownFields : .losesAnswers
      let proxy = try await Intermediary.start(habit, to: port)
      return (proxy.port, { try await proxy.stop() })
    }
  }

  /// Puts a server of another version in the place of the present one, as an operator would, or after
  /// a crash.
  func replaceServer(by release: ReleasedPrograms, afterCrash: Bool) async throws {
    let old = server.withLock { $0 }
    if afterCrash { try await old.kill() } else { try await old.end() }
    let new = try await ServerProgram.start(
      release.server, store: folder.file, port: old.port, arguments: serverArguments)
    server.withLock { $0 = new }
  }

  // MARK: - What a user does

  /// The clients that come through by this route.
  var clients: [ReleasedPrograms] {
    ReleasedPrograms.all.filter { !route.hasTLSClient || $0.speaksTLS }
  }

  /// Starts a client's program.
  func start(_ client: ReleasedPrograms, _ arguments: String...) throws -> Program {
    try start(client, arguments)
  }

  private func start(_ client: ReleasedPrograms, _ arguments: [String]) throws -> Program {
    // The machine may be busy.
    let patience = ["--timeout", "100s"]
    return try Program(
      client.client, arguments.prefix(1) + patience + arguments.dropFirst(),
      environment: ["LATCHKEY_SERVER=\(address)", "LATCHKEY_TLS_CA=\(authority.path)"])
  }

  /// Runs a client's program to its end and expects `status` as its exit status.
  ///
  /// - Returns: What it printed.
  @discardableResult
  func run(
    _ client: ReleasedPrograms, _ arguments: String..., exit status: Int32 = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> String {
    try await output(client, arguments, exit: status, sourceLocation)
  }

  /// The same for a program that prints JSON.
  func json(
    _ client: ReleasedPrograms, _ arguments: String...,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> JSONValue {
    try JSONValue(
      jsonString: await output(
        client, arguments + ["--output", "json"], exit: 0, sourceLocation))
  }

  private func output(
    _ client: ReleasedPrograms, _ arguments: [String], exit status: Int32,
    _ sourceLocation: SourceLocation
  ) async throws -> String {
    let result = try await start(client, arguments).result()
    #expect(
      result.end == .exited(status),
      "latchkey \(arguments.joined(separator: " ")): \(result.errors)",
      sourceLocation: sourceLocation)
    return result.output.joined(separator: "\n")
  }

  // MARK: - What the store holds

  struct Row: Equatable {
    var owner: String?
    var token: Int64
    var revision: Int64
  }

  /// The record of a key as any program finds it in the file, whatever the server shows; nil where
  /// there is none.
  func row(_ key: String) throws -> Row? {
    let rows = try SQLiteFile(folder.file).run(
      "SELECT owner, token, revision FROM latchkey_resources WHERE resource_key = '\(key)'")
    return rows.first.map { row in
      Row(
        owner: row["owner"] ?? nil, token: Int64((row["token"] ?? nil) ?? "") ?? 0,
        revision: Int64((row["revision"] ?? nil) ?? "") ?? 0)
    }
  }

  /// Returns when who holds the key has renewed it once more.
  func waitForRenewal(of key: String) async throws {
    let before = try #require(try row(key))
    try await wait(key) { $0.map { $0.revision > before.revision } ?? false }
  }

  /// Returns when the key's record is as `isSo` says.
  func wait(_ key: String, until isSo: (Row?) -> Bool) async throws {
    try await wait(until: isSo) { try row(key) }
  }

  /// Reads again and again; returns when what was read is as `isSo` says.
  func wait<Value>(until isSo: (Value) -> Bool, reading read: () async throws -> Value) async throws
  {
    let end = ContinuousClock.now + Program.waitMax
    var value = try await read()
    while !isSo(value) {
      guard ContinuousClock.now < end else { throw ProgramError("waited in vain: \(value)") }
      try await Task.sleep(for: .milliseconds(20))
      value = try await read()
    }
  }
}
