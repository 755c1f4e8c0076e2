import Access
import Exclusion
import Glibc
import LockCore
import Logging
import WireSchema

/// What happened at this server lately, kept in memory for whoever asks why somebody lost a lock.
final class RecentEvents: Sendable {
  /// As many are kept.
  static let countMax = 1_000
  /// Of a kind that a peer can bring about at will, so many in a second.
  private static let refusalsOfSecondMax: Int64 = 50

  /// As it is kept: what most of them are takes least, as there may be very many.
  private enum Entry: Sendable {
    case grant(GrantEvent, at: timespec, isCertain: Bool)
    case other(Latchkey_Fleet_V1_Event)

    var key: String {
      switch self {
      case .grant(let grant, _, _): grant.key
      case .other(let event): event.key
      }
    }
  }

  private struct State {
    /// The oldest is at `next` once it is full.
    var entries: [Entry] = []
    var next = 0
    var forgotten: Int64 = 0
    var refusals = SecondBound()
  }

  private let serverID: String
  private let state = Mutex(State())

  init(of serverID: String) { self.serverID = serverID }

  // MARK: - What happens

  /// On a thread of the store.
  func note(_ grants: [GrantEvent], isCertain: Bool) {
    let now = JSONLine.now
    state.withLock { state in
      for grant in grants where !ReservedKeys.contains(grant.key) {
        // Whoever asks again and again for what it does not hold leaves no room for the others.
        if grant.what == .lost, !Self.hasRoom(&state, at: now.tv_sec) { continue }
        Self.add(.grant(grant.withoutContent, at: now, isCertain: isCertain), to: &state)
      }
    }
  }

  func refused(_ error: RPCError, key: String, to asker: Asker?, from origin: CallOrigin) {
    let now = JSONLine.now
    let event = event("denied", at: JSONLine.text(of: now)) { event in
      event.key = key
      event.by = asker?.identity?.name ?? ""
      event.peer = origin.peer
      event.requestID = origin.requestID
      event.reason = LineLog.text(error.message)
    }
    state.withLock { state in
      if Self.hasRoom(&state, at: now.tv_sec) { Self.add(.other(event), to: &state) }
    }
  }

  /// Of the server itself.
  func changed(_ what: String, _ facts: Logger.Metadata) {
    let event = event(what, at: JSONLine.text(of: JSONLine.now)) { event in
      event.facts = facts.mapValues { LineLog.text("\($0)") }
    }
    state.withLock { Self.add(.other(event), to: &$0) }
  }

  private func event(
    _ what: String, at time: String, _ fill: (inout Latchkey_Fleet_V1_Event) -> Void
  ) -> Latchkey_Fleet_V1_Event {
    .with { event in
      event.time = time
      event.event = what
      event.serverID = serverID
      fill(&event)
    }
  }

  private static func hasRoom(_ state: inout State, at second: Int) -> Bool {
    state.refusals.take(at: second, max: refusalsOfSecondMax) != nil
  }

  private static func add(_ entry: Entry, to state: inout State) {
    guard state.entries.count == countMax else { return state.entries.append(entry) }
    state.entries[state.next] = entry
    state.next = (state.next + 1) % countMax
    state.forgotten += 1
  }

  // MARK: - Who asks

  /// - Parameters:
  ///   - key: Nil for all.
  ///   - max: At most so many, of which the latest ones.
  func latest(of key: String?, max: Int) -> Latchkey_Fleet_V1_Events {
    let (entries, forgotten) = state.withLock { state in
      (state.entries[state.next...] + state.entries[..<state.next], state.forgotten)
    }
    let wanted = entries.filter { entry in key.map { entry.key.isSameName(as: $0) } ?? true }
    return .with { answer in
      answer.serverID = serverID
      answer.events = wanted.suffix(max).map { message($0) }
      answer.forgotten = forgotten
    }
  }

  private func message(_ entry: Entry) -> Latchkey_Fleet_V1_Event {
    switch entry {
    case .other(let event): event
    case .grant(let grant, let time, let isCertain):
      event(grant.what.rawValue, at: JSONLine.text(of: time)) { event in
        event.key = grant.key
        event.token = grant.token
        if let holder = grant.holder {
          event.kind = holder.kind == .lock ? "lock" : "presence"
          event.owner = holder.owner
          event.identity = holder.identity
        }
        event.by = grant.caller?.identity ?? ""
        event.peer = grant.caller?.origin?.peer ?? ""
        event.requestID = grant.caller?.origin?.requestID ?? ""
        event.isBreak = grant.isBreak
        event.isUncertain = !isCertain
      }
    }
  }
}
