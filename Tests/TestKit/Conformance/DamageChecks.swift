import LockCore
import Storage
import Testing

extension StoreConformance {
  private static let damages: [(row: S1Row, fault: String)] = [
    (.held(id: 5, key: "bad", token: 0), "token is 0"),
    (.held(id: 5, key: "bad", owner: nil, token: -3), "token is -3"),
    (.held(id: 5, key: "bad", revision: 0), "revision is 0"),
    (.held(id: 5, key: "bad", needsShape: 0), "needs_shape is 0"),
    (.held(id: 5, key: "bad", owner: ""), "owner is empty"),
    (.held(id: 5, key: "bad", owner: nil, ownerIsDamaged: true), "owner is not UTF-8 text"),
    (.held(id: 5, key: "bad", value: nil), "value is not UTF-8 text"),
    (.held(id: 5, key: "bad", kind: 7), "kind is 7"),
    (.held(id: 5, key: "bad", leaseSeconds: 0), "lease_seconds is 0"),
    (
      .held(id: 5, key: "bad", leaseSeconds: Lease.secondsMax + 1),
      "lease_seconds is \(Lease.secondsMax + 1)"
    ),
    (.held(id: 5, key: "bad", owner: nil, freeEpoch: -1), "free_epoch is -1"),
  ]

  /// A row that is not as any shape says is named, and keeps nobody else from being served.
  static let damageChecks = [
    Check("a damaged row is named in the error and left as it is") { database in
      for (row, fault) in damages where !(database.isTyped && row.hasDamagedText) {
        try database.put(row)
        let clock = ManualClock()
        let node = try StoreNode(database, clock: clock)
        defer { node.close() }
        for result in [
          await node.store.perform(.hold("bad", "owner")),
          await node.store.perform(.release(key: "bad", owner: "owner")),
          await node.store.ask(.fetch(key: "bad")),
        ] {
          guard case .failure(let error) = result else {
            Issue.record("a row was taken for sound: \(fault): \(result)")
            continue
          }
          #expect(error.code == .damaged)
          #expect(error.message == "row 5 of latchkey_resources is damaged: \(fault)")
        }
        // Nor does its lease end, whatever it says.
        clock.advance(nanoseconds: Lease.longest.nanoseconds)
        await node.nextTurn()
        try expectSame(try database.row(forKey: "bad"), row)
        #expect(node.store.health == .working)
      }
    },
    Check("the neighbours of a damaged row are served, in the same transaction too") {
      database in
      try database.put(.held(id: 5, key: "bad", revision: -1))
      let node = try StoreNode(database)
      defer { node.close() }
      async let bad = node.store.perform(.hold("bad", "owner"))
      async let good = node.claim("good", "owner")
      #expect(try await good.isNew)
      guard case .failure = await bad else {
        Issue.record("a damaged row was granted")
        return
      }
      #expect(try await node.list(.lock).map(\.key) == ["good"])
      #expect(
        node.observer.totals.skipped == ["row 5 of latchkey_resources is damaged: revision is -1"])
    },
    Check("lists pass over rows whose keys cannot be read, wherever a page ends") { database in
      guard !database.isTyped else { return }
      var limits = StoreLimits.prompt
      limits.pageMax = 2
      for sound in 0...3 {
        try database.put(.held(id: 50, key: nil))
        if sound > 0 { try database.put(.held(id: Int64(sound), key: "key-\(sound)")) }
        let node = try StoreNode(database, limits: limits)
        defer { node.close() }
        #expect(try await node.list(.lock).count == sound)
      }
      // Where a whole page cannot be read there is no place to go on from, and no end either.
      try database.put(.held(id: 51, key: nil))
      try database.put(.held(id: 52, key: nil))
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      let result = await node.store.ask(.list(Query.Range(kind: .lock), into: RecordCollector()))
      guard case .failure(let error) = result else {
        Issue.record("a list of what cannot be read came to an end: \(result)")
        return
      }
      #expect(error.code == .damaged)
    },
    Check("a store whose meta rows are damaged is refused, not guessed at") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      var names = [
        (StoreMeta.Name.oldestShape, Int64(1)), (.newestShape, 1), (.tokenFloor, 0), (.epoch, 0),
      ]
      if database.engine().keepsAccount { names += [(.setbacks, 1), (.opened, 1)] }
      for (name, sound) in names {
        try database.set(name, to: -1, note: "")
        let result = await node.store.perform(.hold("key", "a"))
        guard case .failure(let error) = result else {
          Issue.record("\(name) of -1 was taken for sound")
          continue
        }
        #expect(error.code == .unusable)
        #expect(error.message.contains("damaged"))
        try database.set(name, to: sound, note: "")
      }
      #expect(try await node.claim("key", "a").token == 1)
    },
    Check("an epoch that has run out of numbers only keeps free rows from going") { database in
      let clock = ManualClock()
      let node = try StoreNode(database, clock: clock)
      defer { node.close() }
      _ = try await node.claim("key", "a")
      try await node.perform(.release(key: "key", owner: "a"))
      try database.set(.epoch, to: .max, note: "")
      for _ in 1...3 {
        clock.advance(nanoseconds: StoreLimits.prompt.epochNanoseconds)
        await node.nextTurn()
      }
      #expect(try await node.claim("key", "a").token == 2)
      #expect(try database.meta.epoch == .max)
    },
  ]
}
