import LockContent
import LockCore
import Storage
import WireSchema

/// What follows from who lives: the servers of a store, as their presences have it. Pure.
struct FleetView: Equatable {
  struct Member: Equatable {
    var serverID: String
    /// What tells this run of the server from others with the same id.
    var run: String
    var presence: Latchkey_Fleet_V1_ServerPresence

    /// In words for a person.
    fileprivate var name: String {
      "server \(serverID) (\(presence.software.isEmpty ? "unknown release" : presence.software))"
    }

    /// The wire versions it can speak; nil where it does not say.
    fileprivate var wire: WireRange? {
      WireRange(oldest: presence.wireOldest, newest: presence.wireNewest)
    }

    /// Nothing older than this is of use to it or to what it may be rolled back to. One that does not say
    /// may need anything.
    fileprivate var shapeNeeded: Int64 {
      guard presence.shapeNewest >= 1 else { return S1.number }
      let newest = Int64(presence.shapeNewest)
      return presence.shapeKept >= 1 ? min(newest, Int64(presence.shapeKept)) : newest
    }
  }

  // Bytes of UTF-8.
  private static let softwareBytesMax = 32
  private static let listenBytesMax = 256
  private static let digestBytesMax = 64
  private static let idBytesMax = 128

  /// In the order of their ids and runs.
  let members: [Member]

  init(_ members: [Member]) { self.members = members }

  /// - Parameter records: What is held under ``ReservedKeys/servers``.
  init(_ records: [LockRecord]) {
    members = records.compactMap { record in
      guard let holder = record.holder else { return nil }
      let name = record.key.utf8.dropFirst(ReservedKeys.servers.utf8.count)
      let id = name.prefix { $0 != UInt8(ascii: "/") }
      // A newer server may say more; one that says something else is listed by its id.
      var presence =
        (try? Codec.json.decode(
          Latchkey_Fleet_V1_ServerPresence.self, from: Array(holder.content.text.utf8)))
        ?? Latchkey_Fleet_V1_ServerPresence()
      // What it says goes into frames, metrics and logs of this server.
      presence.software = presence.software.beginning(bytesMax: Self.softwareBytesMax)
      presence.listen = presence.listen.beginning(bytesMax: Self.listenBytesMax)
      presence.policyDigest = presence.policyDigest.beginning(bytesMax: Self.digestBytesMax)
      return Member(
        serverID: String(Substring(id)).beginning(bytesMax: Self.idBytesMax),
        run: String(Substring(name.dropFirst(id.count + 1))), presence: presence)
    }
  }

  /// The fleet beside one run of a server, by id and run. Another run with the same id may be a server that
  /// was given it by mistake.
  func without(_ owner: String) -> FleetView {
    FleetView(members.filter { !"\($0.serverID)/\($0.run)".isSameName(as: owner) })
  }

  /// The wire versions to be offered: those that every server of the fleet speaks, so that a client may
  /// go from one to the other with what it has in hand.
  func offer(of own: WireRange) -> (range: WireRange, reason: String) {
    var range = own
    var limiting: Member?
    for member in members {
      guard let wire = member.wire,
        let common = WireRange(
          oldest: max(range.oldest, wire.oldest), newest: min(range.newest, wire.newest))
      else { continue }
      if common != range { limiting = member }
      range = common
    }
    guard let limiting, let wire = limiting.wire else {
      return (own, "this release speaks \(own)")
    }
    return (range, "\(limiting.name) speaks \(wire), this one \(own)")
  }

  /// Why the policy is not held by all servers, in words for a person.
  ///
  /// - Parameter isHeldHere: Whether the server that says so, which is none of these, has one.
  func policyRemarks(isHeldHere: Bool) -> [String] {
    members.compactMap { member in
      guard isHeldHere else {
        return member.presence.hasPolicy_p
          ? "\(member.name) has a policy and this server none: it does what it is asked to by whoever reaches it"
          : nil
      }
      if Int64(member.presence.shapeNewest) < S3.number {
        return
          "\(member.name) knows no policy: it does what it is asked to by whoever reaches it, and what it grants "
          + "belongs to nobody"
      }
      guard !member.presence.hasPolicy_p else { return nil }
      return "\(member.name) has no policy: it does what it is asked to by whoever reaches it"
    }
  }

  /// Who has another policy, in words for a person. That may pass by itself: files are not replaced on all machines at
  /// the same time.
  ///
  /// - Parameter digest: Of the policy of the server that says so.
  func otherPolicies(than digest: String) -> [String] {
    members.compactMap { member in
      guard member.presence.hasPolicy_p, member.presence.policyDigest != digest else { return nil }
      return "\(member.name) has another policy: who may do what depends on which server is asked"
    }
  }

  /// The oldest shape that somebody needs, and for whom it is kept.
  func shapeNeeded(_ allowance: RollbackAllowance, newest: Int64) -> (shape: Int64, reason: String)
  {
    var needed = (
      shape: min(allowance.shapeKept, newest),
      reason: "so that this server can be rolled back to \(allowance.release)"
    )
    for member in members where member.shapeNeeded < needed.shape {
      needed = (member.shapeNeeded, "for \(member.name)")
    }
    return needed
  }
}
