import Access
import LockCore
import Storage
import WireSchema

extension Locks.Work {
  /// What of it the asker may do, and as whom. After the message's own checks.
  ///
  /// - Parameter origin: Where it comes from.
  /// - Throws: Where it may not.
  func permitted(to asker: Asker, from origin: CallOrigin) throws(WireError) -> Locks.Work {
    switch self {
    // Many at once, of which nobody asks where they come from.
    case .command(.renewMany) where asker.permissions == nil && asker.identity == nil:
      return self
    case .command(let command): return .command(try command.permitted(to: asker, from: origin))
    case .get(let key):
      guard asker.may(.read, on: key) else { throw asker.denied(.read, on: key) }
      return self
    case .list(var range):
      guard let permissions = asker.permissions else { return self }
      guard !permissions.read.isEmpty else { throw asker.denied(.read, on: range.prefix) }
      if !permissions.read.containsAll(beginningWith: range.prefix) {
        range.visible = permissions.read
      }
      return .list(range)
    }
  }
}

extension Command {
  fileprivate func permitted(
    to asker: Asker, from origin: CallOrigin
  ) throws(WireError) -> Command {
    switch self {
    case .claim(let key, var claim):
      claim.caller = try asker.taker(of: key, from: origin)
      return .claim(key: key, claim)
    case .claimWaiting(let key, var claim, let wait):
      claim.caller = try asker.taker(of: key, from: origin)
      if !wait.requestID.isEmpty { claim.caller.origin?.requestID = wait.requestID }
      return .claimWaiting(key: key, claim, wait)
    case .renew(var renewal):
      renewal.caller = try asker.keeper(of: renewal.key, from: origin)
      return .renew(renewal)
    case .renewMany(var renewals):
      // Each has a verdict of its own.
      for index in renewals.indices {
        renewals[index].caller =
          (try? asker.keeper(of: renewals[index].key, from: origin)) ?? .nobody
      }
      return .renewMany(renewals)
    case .release(let key, var name):
      name.caller = try asker.keeper(of: key, from: origin)
      return .release(key: key, name)
    case .renewOwn, .withdraw: return self
    }
  }
}

extension Asker {
  fileprivate func taker(of key: String, from origin: CallOrigin) throws(WireError) -> Caller {
    guard may(.hold, on: key) else { throw denied(.hold, on: key) }
    return caller(on: key, from: origin)
  }

  /// Who may only break keeps and gives back as well.
  fileprivate func keeper(of key: String, from origin: CallOrigin) throws(WireError) -> Caller {
    guard may(.hold, on: key) || may(.break, on: key) else { throw denied(.hold, on: key) }
    return caller(on: key, from: origin)
  }

  private func caller(on key: String, from origin: CallOrigin) -> Caller {
    Caller(
      identity: identity?.name ?? "", mayBreak: may(.break, on: key),
      heldMax: permissions?.limits.held, waitingMax: permissions?.limits.waiting, origin: origin)
  }
}
