import LockCore
import Storage
import Testing

extension StoreConformance {
  /// fence: each grant of a key carries a greater token than every earlier one.
  static let tokenChecks = [
    Check("tokens rise across release, expiry, collection and reopening; renewals keep them") {
      database in
      let clock = ManualClock()
      var limits = StoreLimits.prompt
      limits.epochNanoseconds = 3_600_000_000_000
      limits.collectPauseNanoseconds = 0
      var node = try StoreNode(database, clock: clock, limits: limits)
      var latest: Int64 = 0
      func grantsAnew(_ owner: String) async throws {
        let grant = try await node.claim("key", owner)
        #expect(grant.isNew)
        #expect(grant.token > latest)
        latest = grant.token
        let renewal = try await node.claim("key", owner)
        #expect(renewal.token == grant.token)
        #expect(renewal.revision == grant.revision + 1)
      }

      try await grantsAnew("first")
      try await node.perform(.release(key: "key", owner: "first"))
      try await grantsAnew("after release")

      clock.advance(seconds: 15)
      await node.observer.reaches { $0.expiries == 1 }
      try await grantsAnew("after expiry")

      node.close()
      node = try StoreNode(database, clock: clock, limits: limits)
      #expect(try await node.claim("key", "after expiry").token == latest)
      try await node.perform(.release(key: "key", owner: "after expiry"))
      try await grantsAnew("after reopening")

      try await node.perform(.release(key: "key", owner: "after reopening"))
      let freed = try database.meta.epoch
      while try database.meta.epoch < freed + 2 {
        clock.advance(seconds: 3_600)
        await node.nextTurn()
      }
      await node.observer.reaches { $0.collected == 1 }
      #expect(try database.row(forKey: "key") == nil)
      #expect(try database.meta.tokenFloor == latest)
      try await grantsAnew("after collection")

      let other = try await node.claim("another key", "x")
      #expect(other.token > 4)
      node.close()
    },
    Check("what is granted and released in one transaction leaves its token behind") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let outcomes = try await node.performTogether([
        .hold("key", "a"), .release(key: "key", owner: "a"),
        .hold("again", "a"), .release(key: "again", owner: "a"), .hold("again", "b"),
      ])
      #expect(
        outcomes == [
          .claimed(token: 1, revision: 1, isNewGrant: true), .released,
          .claimed(token: 1, revision: 1, isNewGrant: true), .released,
          .claimed(token: 2, revision: 3, isNewGrant: true),
        ])
      let row = try #require(try database.row(forKey: "key"))
      #expect(row.owner == nil)
      #expect(row.token == 1)
      #expect(try await node.claim("key", "b").token == 2)
      #expect(try await node.claim("again", "b") == .init(token: 2, revision: 4, isNew: false))
    },
    Check("a row that has run out of numbers is refused by name and takes nobody with it") {
      database in
      let clock = ManualClock()
      var limits = StoreLimits.prompt
      limits.epochNanoseconds = 1_000_000_000
      limits.collectPauseNanoseconds = 0
      try database.put(.held(id: 1, key: "token", owner: nil, token: .max, freeEpoch: 0))
      try database.put(.held(id: 2, key: "revision", owner: "a", revision: .max))
      try database.put(.held(id: 3, key: "renewable", owner: "a", token: .max))
      let node = try StoreNode(database, clock: clock, limits: limits)
      defer { node.close() }
      for command in [
        Command.hold("token", "a"), .hold("revision", "a"), .release(key: "revision", owner: "a"),
      ] {
        let result = await node.store.perform(command)
        guard case .failure(let error) = result else {
          Issue.record("\(command) was done: \(result)")
          continue
        }
        #expect(error.code == .damaged)
        #expect(error.message.contains("has run out of numbers"))
      }
      #expect(try await node.claim("renewable", "a").token == .max)

      // Not even the collector may carry such a token over to the other keys.
      while try database.meta.epoch < 3 {
        clock.advance(seconds: 1)
        await node.nextTurn()
      }
      await node.nextTurn()
      #expect(try await node.claim("fresh", "a").token == 1)
    },
  ]
}
