import Glibc
import LatchkeyClient
import Exclusion

/// A run of `lock` or `presence`: waits for the key, holds it while a command runs or until a
/// signal, and gives it back.
struct Holding: Sendable {
  private let kind: ResourceKind
  private let key: String
  private let owner: String
  private let options: HoldOptions
  private let connection: ConnectionOptions
  private let command: HeldCommand?
  private let idle = IdleHold()

  /// - Parameter supervisor: Of the command; nil where there is none.
  init(
    kind: ResourceKind, key: String, options: HoldOptions, connection: ConnectionOptions,
    _ supervisor: SupervisorLink?
  ) throws {
    self.kind = kind
    self.key = key
    owner = options.ownerOrUnique
    self.options = options
    self.connection = connection
    let servers = try connection.endpoints().map { "\($0)" }.joined(separator: ",")
    command = supervisor.map {
      HeldCommand($0, waitsForDescendants: options.waitDescendants, servers: servers)
    }
  }

  func run(_ signals: Signals) async throws -> ExitStatus {
    let work = Task { try await connection.withClient { try await hold(with: $0) } }
    signals.receive { signal in
      if let command, command.forward(signal) { return }
      switch idle.end(by: signal.number) {
      case .now: break
      case .notYetHeld: work.cancel()
      // Giving the key back takes too long for the caller. The lease will end by itself.
      case .again: exitProcess(ExitStatus(signal: signal.number))
      }
    }
    do {
      return try await work.value
    } catch {
      if let signal = idle.signal { return ExitStatus(signal: signal) }
      throw failure(error)
    }
  }

  /// An error in the words, and with the exit code, of a hold.
  private func failure(_ error: any Error) -> any Error {
    let failure: Failure
    switch error {
    case let error as Failure: failure = error
    case let error as LatchkeyError where error.code == .leaseLost:
      return Failure(loss: error)
    case let error as LatchkeyError: failure = Failure(error)
    default: return error
    }
    let wasHeld = command?.hasStarted ?? idle.hasBegun
    guard let code = options.exitCode, failure.status == .notToBeHad, !wasHeld else {
      return failure
    }
    return Failure(ExitStatus(rawValue: Int32(code)), failure.message)
  }

  private func hold(with client: LatchkeyClient) async throws -> ExitStatus {
    let start = ContinuousClock.now
    // Servers of a fleet that is older in part refuse labels once they have said so. It must not matter
    // whether the first request was faster than their word.
    if !options.content.labels.isEmpty { _ = try await client.connectionInfo() }
    do {
      return try await tryAtOnce(with: client)
    } catch let error as LatchkeyError where error.code.meansHeld {
      if options.wait == .span(.zero) { throw Failure(heldByAnother: key, holder: error.holder) }
      let holder = error.holder.map { ", held by \"\($0)\"" } ?? ", held by another"
      connection.notice("waiting for \"\(key)\"\(holder)")
    } catch let error as LatchkeyError where error.code == .overloaded {
      // A limit, most likely, under which there may be room soon.
      if options.wait == .span(.zero) { throw error }
      connection.notice("waiting for \"\(key)\": \(Failure.plain(error.message))")
    }
    let wait: Duration? =
      switch options.wait {
      case .forever: nil
      case .span(let span): max(.zero, span - (ContinuousClock.now - start))
      }
    do {
      return try await claim(with: client, wait: wait)
    } catch let error as LatchkeyError where error.code.meansHeld {
      throw Failure(heldByAnother: key, holder: error.holder)
    }
  }

  /// How long to wait before the next try for a server where there was none: shorter than a restart
  /// takes, and nothing to a server that comes back to many who wait.
  private static let retryPause: Duration = .milliseconds(250)

  /// Claims without waiting for another holder, but for a server that is just being replaced: as long as
  /// a request may take, unless the wait is shorter.
  private func tryAtOnce(with client: LatchkeyClient) async throws -> ExitStatus {
    var patience = connection.timeout.duration
    if case .span(let span) = options.wait { patience = min(patience, span) }
    let end = ContinuousClock.now + patience
    while true {
      do {
        return try await claim(with: client, wait: .zero)
      } catch let error as LatchkeyError where error.code == .unavailable {
        // The library says so as soon as all servers have failed.
        let left = end - ContinuousClock.now
        guard left > .zero, !Task.isCancelled else { throw error }
        // Cut short where the task is cancelled, which the next claim says.
        try? await TaskPool.sleep(for: min(Self.retryPause, left))
      }
    }
  }

  private func claim(with client: LatchkeyClient, wait: Duration?) async throws -> ExitStatus {
    let lease = options.ttl.duration
    switch kind {
    case .lock:
      return try await client.withLock(
        key, owner: owner, value: options.content.value, attributes: options.content.attributes,
        labels: options.content.labels, lease: lease, wait: wait
      ) { try await use($0) }
    case .presence:
      return try await client.withPresence(
        key, owner: owner, value: options.content.value, attributes: options.content.attributes,
        labels: options.content.labels, lease: lease, wait: wait
      ) { try await use($0) }
    }
  }

  private func use(_ grant: LockGrant) async throws -> ExitStatus {
    guard let command else {
      connection.notice("present at \"\(key)\" as \"\(owner)\"")
      await idle.hold(grant)
      guard !grant.isLost else {
        throw Failure(.notToBeHad, ending(of: grant, ""))
      }
      return .success
    }
    let outcome = try await command.run(grant)
    switch outcome.reason {
    case .byItself: return outcome.end?.exitStatus ?? ExitStatus(signal: SIGKILL)
    case .leaseEnded:
      throw Failure(.notToBeHad, ending(of: grant, ", so the command was stopped"))
    case .tooLate:
      throw Failure(.notToBeHad, ending(of: grant, ", so the command was not started"))
    case .interrupted(let signal): return ExitStatus(signal: signal)
    case .abandoned(let signal):
      // Others must wait for the end of the lease: somebody still works.
      connection.notice("\(name) is not released, but left to the end of its lease")
      exitProcess(ExitStatus(signal: signal))
    }
  }

  /// How a hold ended before its holder was done, and why.
  private func ending(of grant: LockGrant, _ consequence: String) -> String {
    let cause = grant.renewalError.map { ": \(Failure.plain($0.message))" } ?? ""
    return "the lease of \(name) could not be renewed in time\(consequence)\(cause)"
  }

  private var name: String { "\(kind.rawValue) \"\(key)\"" }
}

extension LatchkeyError.Code {
  /// Whether somebody who holds it is the only obstacle.
  var meansHeld: Bool {
    [.heldByAnother, .waitEnded, .requiresNewerServer].contains(self)
  }
}

/// Holding something without a command, until a signal: the end of a program that has nobody to pass
/// the signal on to.
private final class IdleHold: Sendable {
  enum Answer { case now, notYetHeld, again }

  private struct State {
    var signal: Int32?
    var hold: Task<Void, Never>?
  }

  private let state = Mutex(State())

  /// The signal that ended it.
  var signal: Int32? { state.withLock { $0.signal } }

  var hasBegun: Bool { state.withLock { $0.hold != nil } }

  /// Returns when the grant is lost, or after a signal.
  func hold(_ grant: LockGrant) async {
    let hold = Task { await grant.untilLost() }
    let isOver = state.withLock { state in
      state.hold = hold
      return state.signal != nil
    }
    if isOver { hold.cancel() }
    await withTaskCancellationHandler {
      await hold.value
    } onCancel: {
      hold.cancel()
    }
  }

  func end(by signal: Int32) -> Answer {
    let (answer, hold): (Answer, Task<Void, Never>?) = state.withLock { state in
      guard state.signal == nil else { return (.again, nil) }
      state.signal = signal
      return (state.hold == nil ? .notYetHeld : .now, state.hold)
    }
    hold?.cancel()
    return answer
  }
}
