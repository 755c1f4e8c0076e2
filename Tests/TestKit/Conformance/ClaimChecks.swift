import LockCore
import Storage
import Testing

extension StoreConformance {
  /// Claims, renewals and releases, with what is known of other lock services as the yardstick.
  static let claimChecks = [
    Check("a claim of what another owner holds is refused and extends nothing") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let grant = try await node.claim("key", "a")
      #expect(try await node.perform(.hold("key", "b")) == .heldByAnother)
      let row = try #require(try database.row(forKey: "key"))
      #expect(row.owner == "a")
      #expect(row.revision == grant.revision)
    },
    Check("the owner's next claim is a renewal that overwrites value, kind and lease") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let grant = try await node.claim("key", "a", lease: 15, value: "first")
      #expect(grant == .init(token: grant.token, revision: 1, isNew: true))
      let renewal = try await node.claim("key", "a", lease: 30, value: "", kind: .presence)
      #expect(renewal == .init(token: grant.token, revision: 2, isNew: false))
      let record = try #require(try await node.fetch("key"))
      #expect(
        record
          == LockRecord(
            key: "key",
            holder: Holder(kind: .presence, owner: "a", content: "", lease: Lease(seconds: 30)!),
            token: grant.token, revision: 2))
    },
    Check("releasing a missing key, or twice, succeeds") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      #expect(try await node.perform(.release(key: "none", owner: "a")) == .released)
      #expect(try database.row(forKey: "none") == nil)
      _ = try await node.claim("key", "a")
      for _ in 1...2 {
        #expect(try await node.perform(.release(key: "key", owner: "a")) == .released)
      }
      #expect(try database.row(forKey: "key")?.revision == 2)
    },
    Check("a release by another owner is refused and changes nothing") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let grant = try await node.claim("key", "a")
      #expect(try await node.perform(.release(key: "key", owner: "b")) == .notTheHolder)
      #expect(try await node.fetch("key")?.revision == grant.revision)
    },
    Check("a fetch of what nobody holds finds nothing") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      #expect(try await node.fetch("key") == nil)
      _ = try await node.claim("key", "a")
      try await node.perform(.release(key: "key", owner: "a"))
      #expect(try await node.fetch("key") == nil)
    },
    Check("a released row stays, free, with its token") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let grant = try await node.claim("key", "a", value: "secret")
      try await node.perform(.release(key: "key", owner: "a"))
      let row = try #require(try database.row(forKey: "key"))
      #expect(row.owner == nil)
      #expect(row.value == "")
      #expect(row.token == grant.token)
      #expect(row.revision == grant.revision + 1)
      #expect(row.freeEpoch == (try database.meta.epoch))
    },
    Check("of many first claims at once one wins, and its owner's retries get the same token") {
      database in
      let nodes = [try StoreNode(database), try StoreNode(database)]
      defer { for node in nodes { node.close() } }
      let outcomes = await withTaskGroup(of: (String, StoreResult).self) { group in
        for number in 0..<60 {
          let owner = "owner-\(number % 6)"
          group.addTask {
            (owner, await nodes[number % 2].store.perform(.hold("fresh", owner)))
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      let winner = try #require(try database.row(forKey: "fresh")?.owner)
      var newGrants = 0
      for (owner, result) in outcomes {
        switch try result.get() {
        case .claimed(let token, _, let isNew):
          #expect(owner == winner)
          #expect(token == 1)
          if isNew { newGrants += 1 }
        case let other:
          #expect(other.withoutState == .heldByAnother)
          #expect(owner != winner)
        }
      }
      #expect(newGrants == 1)
    },
    Check("names are told apart by their bytes, not by how they look") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
      try #require(composed == decomposed)
      // In one transaction, which is where names are compared in this process.
      try await node.performTogether([.hold(composed, "a"), .hold(decomposed, "b")])
      #expect(try await node.fetch(composed)?.holder?.owner == "a")
      #expect(try await node.fetch(decomposed)?.holder?.owner == "b")

      _ = try await node.claim("key", composed)
      #expect(try await node.perform(.hold("key", decomposed)) == .heldByAnother)
      #expect(try await node.perform(.release(key: "key", owner: decomposed)) == .notTheHolder)
    },
    Check("texts come back as they were given, up to their bounds") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let long = String(repeating: "k", count: NameLimits.keyBytesMax)
      let value = String(repeating: "v", count: NameLimits.valueBytesMax)
      for (key, owner, value) in [
        (long, long, value), ("'; --", "\"%_\\", "{\"a\": [1]}\n"),
        ("\u{1F512}", "\u{10FFFF}", "\u{FEFF}\r\n"), ("key", "owner", ""),
      ] {
        _ = try await node.claim(key, owner, lease: Lease.secondsMax, value: value)
        let record = try #require(try await node.fetch(key))
        let holder = try #require(record.holder)
        #expect(Array(record.key.utf8) == Array(key.utf8))
        #expect(Array(holder.owner.utf8) == Array(owner.utf8))
        #expect(Array(holder.content.text.utf8) == Array(value.utf8))
        #expect(holder.lease == .longest)
      }
    },
  ]
}
