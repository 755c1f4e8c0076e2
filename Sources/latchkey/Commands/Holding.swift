import Glibc
import LatchkeyClient
import Synchronization

/// A run of `lock` or `presence`: waits for the key, holds it while a command runs or until a
/// signal, and gives it back.
struct Holding: Sendable {
  static let forwardedSignals = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]

  private let kind: ResourceKind
  private let key: String
  private let owner: String
  private let options: HoldOptions
  private let connection: ConnectionOptions
  private let command: HeldCommand?
  private let idle = IdleHold()

  /// - Parameter commandCount: How many of the program's last arguments are the command; 0 for none.
  init(
    kind: ResourceKind, key: String, options: HoldOptions, connection: ConnectionOptions,
    commandCount: Int
  ) {
    self.kind = kind
    self.key = key
    owner = options.ownerOrUnique
    self.options = options
    self.connection = connection
    command = commandCount > 0 ? HeldCommand(argumentCount: commandCount) : nil
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
      guard let signal = idle.signal else { throw error }
      return ExitStatus(signal: signal)
    }
  }

  private func hold(with client: LatchkeyClient) async throws -> ExitStatus {
    let start = ContinuousClock.now
    do {
      return try await claim(with: client, wait: .zero)
    } catch let error as LatchkeyError where error.code.meansHeld {
      if options.wait == .span(.zero) { throw Failure(heldByAnother: key, holder: error.holder) }
      let holder = error.holder.map { ", held by \"\($0)\"" } ?? ", held by another"
      connection.notice("waiting for \(name)\(holder)")
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
      connection.notice("present at \(name) as \"\(owner)\"")
      await idle.hold(grant)
      guard !grant.isLost else {
        throw Failure(.notToBeHad, "the lease of \(name) could not be renewed")
      }
      return .success
    }
    let end = try await command.run(grant)
    guard !command.wasStopped else {
      throw Failure(
        .notToBeHad, "the lease of \(name) could not be renewed, so the command was stopped")
    }
    return end.exitStatus
  }

  private var name: String { "\"\(key)\"" }
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
