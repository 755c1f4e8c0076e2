import LockCore
import Storage
import Testing

extension StoreConformance {
  /// Whose a grant is: what came with s3, beside servers that do not know it.
  static let identityChecks = [
    Check("a grant stays whose it is, whoever writes it") { database in
      let (older, node) = (try StoreNode(database, shapes: .upTo(2)), try StoreNode(database))
      defer { for node in [older, node] { node.close() } }
      let token = try await node.perform(.claim(key: "key", .by("mine"))).token!
      _ = try await older.claim("key", "a", value: "by the older")
      let renewal = Renewal(key: "key", token: token, lease: Lease(milliseconds: 90_500))
      _ = try await older.perform(.renew(renewal))
      let seen = try #require(try await node.fetch("key")?.holder)
      #expect(seen.identity == "mine" && seen.content == "by the older")
      #expect(seen.lease == Lease(milliseconds: 90_500))
      // Nobody else may keep it, take it for its owner's name, or give it back.
      var other = renewal
      other.caller = Caller(identity: "other", mayBreak: false)
      #expect(try await node.perform(.renew(other)) == .ofAnotherIdentity)
      #expect(try await node.perform(.claim(key: "key", .by("other"))) == .heldByAnother)
      let name = GrantName(token: token, owner: "a", caller: other.caller)
      #expect(try await node.perform(.release(key: "key", name)) == .ofAnotherIdentity)
      // Who may break it does not make it its own.
      other.caller.mayBreak = true
      _ = try await node.perform(.renew(other))
      #expect(try await node.fetch("key")?.holder?.identity == "mine")
      #expect(try await older.perform(.release(key: "key", owner: "a")) == .released)
      #expect(try await node.perform(.claim(key: "key", .by("other"))).token == token + 1)
      #expect(try await node.fetch("key")?.holder?.identity == "other")
    },
    Check("what a server grants that knows no identities is nobody's") { database in
      let (older, node) = (try StoreNode(database, shapes: .upTo(2)), try StoreNode(database))
      defer { for node in [older, node] { node.close() } }
      _ = try await node.perform(.claim(key: "key", .by("mine")))
      _ = try await node.perform(.release(key: "key", owner: "a"))
      // The same owner, and the columns of the grant before may still be there.
      _ = try await older.claim("key", "a", value: "v")
      #expect(try await node.fetch("key")?.holder?.identity == "")
      #expect(try await node.perform(.claim(key: "key", .by("other"))).token == 2)
      #expect(try await node.fetch("key")?.holder?.identity == "")
    },
    Check("s2 goes on to be written when it is given up for s3") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      node.store.giveUpShapes(
        before: 3, neededRelease: "0.5.0 or newer", deadline: MonotonicTime(nanoseconds: .max))
      await node.observer.reaches { $0.oldestShape == 3 }
      #expect(throws: StoreError.self) { try StoreNode(database, shapes: .upTo(2)) }
      var claim = Claim.by("mine")
      claim.labels = ["team": "payments"]
      _ = try await node.perform(.claim(key: "key", claim))
      let cells = try database.cells(forKey: "key")
      #expect(cells["s2_token"] == .integer(1) && cells["s2_labels"] != nil)
      #expect(
        cells["s3_token"] == .integer(1) && cells["s3_identity"] == .bytes(Array("mine".utf8)))
      let row = try #require(try database.row(forKey: "key"))
      #expect((row.value, row.leaseSeconds) == ("", -1))
      let seen = try #require(try await node.fetch("key")?.holder)
      #expect(seen.identity == "mine" && seen.content == "v" && seen.labels == claim.labels)
    },
    Check("an identity that is no text is damage, not nobody") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      for cell in [Cell.bytes([]), .bytes([0xFF]), .text("mine")] {
        if case .text = cell, database.isTyped { continue }
        _ = try await node.claim("key", "a", value: "v")
        try database.set("s3_identity", to: cell, forKey: "key")
        guard case .failure(let error) = await node.store.ask(.fetch(key: "key")),
          error.code == .damaged
        else {
          Issue.record("\(cell) is taken for an identity")
          continue
        }
        #expect(error.message.contains("the columns of s3"))
        try database.set("s3_identity", to: .null, forKey: "key")
      }
    },
  ]
}

extension Claim {
  /// The owner is always the same one.
  fileprivate static func by(_ identity: String) -> Claim {
    var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: "v")
    claim.caller = Caller(identity: identity, mayBreak: false)
    return claim
  }
}
