import LockCore
import Storage
import Testing

extension StoreConformance {
  /// The first that servers do not know.
  private static let unknownShape = KnownShapes.all.newest + 1

  /// What `needs_shape` asks of a server that does not know the shape.
  static let newerShapeChecks = [
    Check("a newer server's lock is shown as held and not touched") { database in
      // The kind is one that only newer servers know.
      let row = S1Row.held(
        id: 1, key: "key", owner: "a", needsShape: unknownShape, kind: 7, value: "v")
      try database.put(row)
      let node = try StoreNode(database)
      defer { node.close() }
      for (command, outcome) in [
        (Command.hold("key", "b"), Outcome.heldByAnother),
        (.hold("key", "a"), .needsNewerServer(shape: unknownShape)),
        (.release(key: "key", owner: "b"), .notTheHolder),
        (.release(key: "key", owner: "a"), .needsNewerServer(shape: unknownShape)),
      ] {
        #expect(try await node.perform(command) == outcome)
        try expectSame(try database.row(forKey: "key"), row)
      }
      let shown = try #require(try await node.fetch("key"))
      #expect(shown.holder?.owner == "a")
      #expect(shown.token == row.token)
    },
    Check("a newer server's lock without an owner to show is not free either") { database in
      let row = S1Row.held(id: 1, key: "key", owner: nil, needsShape: unknownShape, freeEpoch: nil)
      try database.put(row)
      let node = try StoreNode(database)
      defer { node.close() }
      for command in [Command.hold("key", "a"), .release(key: "key", owner: "a")] {
        #expect(try await node.perform(command) == .needsNewerServer(shape: unknownShape))
        try expectSame(try database.row(forKey: "key"), row)
      }
      #expect(
        try await node.store.ask(.fetch(key: "key")).get() == .needsNewerServer(shape: unknownShape)
      )
    },
    Check("a newer server's row is read whatever its own columns mean there") { database in
      // What must be right in every shape is; the rest is not as s1 says.
      let all: [S1Row] = [
        .held(id: 1, key: "lease", owner: "a", needsShape: unknownShape, leaseSeconds: 0),
        .held(
          id: 2, key: "long lease", owner: "a", needsShape: unknownShape,
          leaseSeconds: Lease.secondsMax + 1),
        .held(id: 3, key: "value", owner: "a", needsShape: unknownShape, value: nil),
        .held(id: 4, key: "kind", owner: "a", needsShape: unknownShape, kind: .min),
        .held(id: 5, key: "owner", owner: "", needsShape: unknownShape),
        .held(
          id: 6, key: "owner's bytes", owner: nil, needsShape: unknownShape, ownerIsDamaged: true),
        .held(id: 7, key: "epoch", owner: "a", needsShape: unknownShape, freeEpoch: -1),
      ]
      let rows = all.filter { !(database.isTyped && $0.hasDamagedText) }
      for row in rows { try database.put(row) }
      let node = try StoreNode(database)
      defer { node.close() }
      for row in rows {
        let isOwned = row.owner == "a"
        #expect(
          try await node.perform(.hold(row.key!, "b"))
            == (isOwned ? .heldByAnother : .needsNewerServer(shape: unknownShape)))
        let shown = try await node.store.ask(.fetch(key: row.key!)).get()
        guard isOwned else {
          #expect(shown == .needsNewerServer(shape: unknownShape))
          continue
        }
        guard case .found(let record?) = shown else { throw Unexpected(outcome: shown) }
        #expect(record.holder?.owner == "a")
      }
      let listed = try await node.list(.lock).map(\.key)
      #expect(listed == rows.filter { $0.owner == "a" }.compactMap(\.key).sorted())
      #expect(listed.count >= 4)
    },
    Check("lists show a newer server's lock, of an unknown kind too") { database in
      try database.put(.held(id: 1, key: "known", owner: "a", needsShape: unknownShape, kind: 1))
      try database.put(.held(id: 2, key: "unknown", owner: "a", needsShape: unknownShape, kind: 7))
      try database.put(.held(id: 3, key: "unowned", owner: nil, needsShape: unknownShape, kind: 1))
      let node = try StoreNode(database)
      defer { node.close() }
      #expect(try await node.list(.lock).map(\.key) == ["known", "unknown"])
      #expect(try await node.list(.presence).isEmpty)
    },
    Check("a newer server's lease ends by the common rule, and clears needs_shape") { database in
      let clock = ManualClock()
      for (id, owner) in [(Int64(1), "a"), (2, nil)] {
        try database.put(
          .held(id: id, key: "key-\(id)", owner: owner, needsShape: unknownShape, kind: 7))
      }
      // Scans go by row number: who has seen this one has seen the others.
      try database.put(.held(id: 9, key: "last", kind: 2, leaseSeconds: Lease.secondsMax))
      let node = try StoreNode(database, clock: clock)
      defer { node.close() }
      await node.observer.reaches { $0.presences == 1 }
      // A holder unknown to s1 lives: the revision moves, and the lease begins anew. A command that
      // meets the row on the way must not make it longer.
      clock.advance(seconds: 14)
      for (id, owner) in [(Int64(1), "a"), (2, nil)] {
        try database.put(
          .held(
            id: id, key: "key-\(id)", owner: owner, needsShape: unknownShape, revision: 10, kind: 7)
        )
        _ = try await node.perform(.hold("key-\(id)", "b"))
      }
      clock.advance(seconds: 14)
      await node.nextTurn()
      #expect(node.observer.totals.expiries == 0)
      clock.advance(seconds: 1)
      await node.observer.reaches { $0.expiries == 2 }
      for id in 1...2 {
        let row = try #require(try database.row(forKey: "key-\(id)"))
        #expect(row.owner == nil)
        #expect(row.needsShape == S1.number)
        #expect(row.token == 7)
        let grant = try await node.claim("key-\(id)", "b")
        #expect(grant == .init(token: 8, revision: row.revision + 1, isNew: true))
      }
    },
    Check("a store that has left this shape behind can be neither read nor written") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let grant = try await node.claim("key", "a")
      try database.set(.newestShape, to: unknownShape + 1, note: "")
      try database.set(.oldestShape, to: unknownShape, note: "release 0.9.0")
      for result in [
        await node.store.perform(.hold("key", "a")),
        await node.store.perform(.release(key: "key", owner: "a")),
        await node.store.ask(.fetch(key: "key")),
        await node.store.ask(.list(Query.Range(kind: .lock), into: RecordCollector())),
        await node.store.ask(.prefix("k")),
      ] {
        guard case .failure(let error) = result else {
          Issue.record("a fenced server answered \(result)")
          continue
        }
        #expect(error.code == .tooOldServer)
        #expect(error.message.contains("shapes s\(unknownShape) to s\(unknownShape + 1)"))
        #expect(error.message.contains("release 0.9.0"))
      }
      node.clock.advance(seconds: 60)
      await node.nextTurn()
      guard case .failing(let error) = node.store.health else {
        Issue.record("a fenced server takes itself for healthy")
        return
      }
      #expect(error.code == .tooOldServer)
      #expect(try database.row(forKey: "key")?.owner == "a")
      #expect(try database.row(forKey: "key")?.revision == grant.revision)
      #expect(throws: StoreError.self) { try StoreNode(database) }
    },
  ]
}

func expectSame(
  _ found: S1Row?, _ expected: S1Row, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let found = try #require(found, sourceLocation: sourceLocation)
  #expect("\(found)" == "\(expected)", sourceLocation: sourceLocation)
}
