import LockCore
import Storage
import Testing

extension StoreConformance {
  /// Several servers on one database.
  static let fleetChecks = [
    Check("servers see each other's grants, renewals and releases at once") { database in
      let nodes = [try StoreNode(database), try StoreNode(database)]
      defer { for node in nodes { node.close() } }
      let grant = try await nodes[0].claim("key", "a")
      #expect(try await nodes[1].fetch("key")?.token == grant.token)
      #expect(try await nodes[1].perform(.hold("key", "b")) == .heldByAnother)
      let renewal = try await nodes[1].claim("key", "a")
      #expect(renewal == .init(token: grant.token, revision: grant.revision + 1, isNew: false))
      try await nodes[0].perform(.release(key: "key", owner: "a"))
      #expect(try await nodes[1].claim("key", "b").token == grant.token + 1)
    },
    Check("a renewal through one server keeps the lock on all") { database in
      let clock = ManualClock()
      let nodes = [
        try StoreNode(database, clock: clock), try StoreNode(database, clock: clock),
      ]
      defer { for node in nodes { node.close() } }
      _ = try await nodes[0].claim("key", "a")
      await nodes[1].observer.reaches { $0.locks == 1 }
      for _ in 1...5 {
        clock.advance(seconds: 14)
        _ = try await nodes[1].claim("key", "a")
        // Whoever meets a row in a transaction has seen it, as of now.
        #expect(try await nodes[0].perform(.hold("key", "b")) == .heldByAnother)
      }
      #expect(try await nodes[0].fetch("key")?.revision == 6)
      clock.advance(seconds: 14)
      for node in nodes { await node.nextTurn() }
      #expect(try database.row(forKey: "key")?.owner == "a")
      clock.advance(seconds: 1)
      // Either may end it; the other one learns of it and does not end it again.
      for node in nodes { await node.observer.reaches { $0.locks == 0 } }
      #expect(nodes.reduce(0) { $0 + $1.observer.totals.expiries } == 1)
      #expect(try database.row(forKey: "key")?.revision == 7)
    },
    Check("the living end the leases that a dead server granted, after their whole length") {
      database in
      let dead = try StoreNode(database)
      for number in 1...20 { _ = try await dead.claim("key-\(number)", "a", lease: 10) }
      _ = try await dead.claim("alive", "a", lease: 10, kind: .presence)
      dead.close()

      let clock = ManualClock(seconds: 5)
      var limits = StoreLimits.prompt
      limits.pageMax = 7
      let node = try StoreNode(database, clock: clock, limits: limits)
      defer { node.close() }
      await node.observer.reaches { $0.locks == 20 && $0.presences == 1 }
      clock.advance(nanoseconds: 9_999_999_999)
      await node.nextTurn()
      #expect(node.observer.totals.expiries == 0)
      clock.advance(nanoseconds: 1)
      await node.observer.reaches { $0.expiries == 21 && $0.locks == 0 && $0.presences == 0 }
      #expect(try await node.claim("key-20", "b").isNew)
    },
    Check("servers that contend for one key never hold it twice, and its tokens rise") {
      database in
      let nodes = [try StoreNode(database), try StoreNode(database), try StoreNode(database)]
      defer { for node in nodes { node.close() } }
      // Each owner that got the key says its token and gives the key back.
      let tokens = try await withThrowingTaskGroup(of: [Int64].self) { group in
        for (number, node) in nodes.enumerated() {
          group.addTask {
            var tokens: [Int64] = []
            for _ in 1...60 {
              let outcome = try await node.perform(.hold("key", "owner-\(number)"))
              guard case .claimed(let token, _, let isNew) = outcome else { continue }
              #expect(isNew)
              #expect(try await node.fetch("key")?.holder?.owner == "owner-\(number)")
              try await node.perform(.release(key: "key", owner: "owner-\(number)"))
              tokens.append(token)
            }
            #expect(tokens == tokens.sorted())
            return tokens
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(Set(tokens).count == tokens.count)
      #expect(try database.row(forKey: "key")?.token == tokens.max())
    },
  ]
}
