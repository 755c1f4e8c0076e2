import LockCore
import Logging
import NIOCore
import RPC
import Storage
import Synchronization
import WireSchema

/// This server among those that share its store: keeps its presence, and knows the others'.
///
/// From the rows under the reserved prefix alone, every server learns who lives and what each can do.
final class Fleet: Sendable {
  /// A server that is gone is missed after this many seconds.
  static let leaseSeconds: Int64 = 15
  /// How often the presence is renewed.
  static let renewal = TimeAmount.seconds(5)

  private let serverID: String
  /// Id and run: a server that was killed and started again shows at once, beside its former run.
  private let owner: String
  private let listen = Mutex("")
  private let hasLeft = Atomic<Bool>(false)
  private let held = Mutex((locks: 0, presences: 0))

  init(serverID: String, nonce: UInt64) {
    self.serverID = serverID
    owner = "\(serverID)/\(String(nonce, radix: 16))"
  }

  /// Says where this server listens, once it does.
  func listens(on address: String) { listen.withLock { $0 = address } }

  /// Notes what the store holds, for ``status(meta:servers:location:)``.
  func note(locks: Int, presences: Int) {
    held.withLock { $0 = (locks, presences) }
  }

  private var key: String { ReservedKeys.servers + owner }

  private var presence: Latchkey_Fleet_V1_ServerPresence {
    .with {
      $0.software = Release.version
      $0.wireOldest = WireVersions.spoken.oldest
      $0.wireNewest = WireVersions.spoken.newest
      $0.shapeOldest = UInt32(S1.number)
      $0.shapeNewest = UInt32(S1.number)
      $0.listen = listen.withLock { $0 }
    }
  }

  /// Claims or renews the presence, on the event loop of `loop`.
  func announce(_ loop: EventLoopContext) {
    guard !hasLeft.load(ordering: .relaxed) else { return }
    // A message of strings and numbers always encodes.
    let value = (try? presence.jsonString()) ?? "{}"
    let holder = Holder(
      kind: .presence, owner: owner, value: value, lease: Lease(seconds: Self.leaseSeconds)!)
    // What the store fails at, the store reports.
    loop.store.submit(.claim(key: key, holder: holder), call: InternalCall(loop) { _ in })
  }

  /// Gives the presence up for good, or leaves it to the end of its lease where the store does not
  /// answer by `deadline`.
  func leave(_ loop: EventLoopContext, by deadline: MonotonicTime, done: @escaping () -> Void) {
    hasLeft.store(true, ordering: .relaxed)
    loop.store.submit(
      .release(key: key, GrantName(owner: owner)), deadline: deadline,
      call: InternalCall(loop, deadline: deadline) { _ in done() })
  }

  /// The answer to /status.
  func status(
    meta: StoreMeta, servers: [LockRecord], location: String
  ) -> Latchkey_Fleet_V1_Status {
    .with { status in
      status.serverID = serverID
      status.server = presence
      status.fleet = servers.map { record in
        .with { entry in
          let name = record.key.dropFirst(ReservedKeys.servers.count)
          entry.serverID = String(name.prefix { $0 != "/" })
          entry.run = String(name.dropFirst(entry.serverID.count + 1))
          // A newer server may say more; one that says something else is listed by its id.
          let body = Array((record.holder?.value ?? "").utf8)
          let presence = try? Codec.json.decode(
            Latchkey_Fleet_V1_ServerPresence.self, from: body)
          if let presence { entry.presence = presence }
        }
      }
      status.store = .with { store in
        store.location = location
        store.newestShape = UInt32(clamping: meta.newestShape)
        store.oldestShape = UInt32(clamping: meta.oldestShape)
        store.tokenFloor = meta.tokenFloor
        let held = held.withLock { $0 }
        store.locks = Int64(held.locks)
        store.presences = Int64(held.presences)
      }
    }
  }
}
