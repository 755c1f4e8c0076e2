import LockCore
import Storage
import Testing

extension StoreConformance {
  /// Answers come from snapshots that contain everything acknowledged.
  static let readChecks = [
    Check("a read after an acknowledgement contains the change, through whichever server") {
      database in
      let nodes = [try StoreNode(database), try StoreNode(database)]
      defer { for node in nodes { node.close() } }
      for round in 1...50 {
        let grant = try await nodes[round % 2].claim("key", "a", value: "\(round)")
        for node in nodes {
          let record = try #require(try await node.fetch("key"))
          #expect(record.holder?.content.text == "\(round)")
          #expect(record.revision == grant.revision)
        }
        #expect(try await nodes[0].list(.lock).map(\.revision) == [grant.revision])
      }
    },
    Check("lists are in the order of the keys' bytes, across pages, without reserved keys") {
      database in
      var limits = StoreLimits.prompt
      limits.pageMax = 3
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      let keys = [
        "a", "B", "aa", "a/", "\u{E9}", "e\u{301}", "\u{1F512}", "\u{FFFD}", "~", "0", " ",
        "_latchkez", "_", "_latchkey", "\u{1}",
      ]
      let reserved = (1...7).map { ReservedKeys.servers + "server-\($0)" }
      for key in (keys + reserved).shuffled() { _ = try await node.claim(key, "a") }
      _ = try await node.claim("presence", "a", kind: .presence)
      _ = try await node.claim("free", "a")
      try await node.perform(.release(key: "free", owner: "a"))

      let listed = try await node.list(.lock).map { Array($0.key.utf8) }
      let expected = keys.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
      #expect(listed == expected)
      #expect(try await node.list(.presence).map(\.key) == ["presence"])
    },
    Check("the latest grant of a key is what its row says") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      for key in ["held", "free", "renewed"] { _ = try await node.claim(key, "a") }
      try await node.perform(.release(key: "free", owner: "a"))
      for _ in 1...2 { _ = try await node.claim("renewed", "a") }
      var wanted = Wanted()
      wanted.grants = ["renewed", "free", "nowhere", "held"]
      #expect(
        try database.engine().openReader().read(wanted).grants == [
          LatestGrant(token: 1, isOver: false), LatestGrant(token: 1, isOver: true), nil,
          LatestGrant(token: 1, isOver: false),
        ])
    },
    Check("a range begins and ends by the bytes of keys, the last characters included") {
      database in
      let node = try StoreNode(database)
      defer { node.close() }
      let last = "\u{10FFFF}"
      let longest = String(repeating: last, count: 128)
      let keys = ["p", "pa", "p\(last)", "p\(last)x", "p\(last)\(last)", "o", "q", last, longest]
      for key in keys { _ = try await node.claim(key, "a") }
      for prefix in ["", "p", "pa", "p\(last)", last, "r"] {
        for after in [""] + keys {
          let range = Query.Range(kind: .lock, prefix: prefix, afterKey: after)
          let sink = RecordCollector()
          #expect(
            try await node.store.ask(.list(range, into: sink)).get() == .listed(.complete))
          let expected = keys.map { Array($0.utf8) }
            .filter { $0.starts(with: prefix.utf8) && after.utf8.lexicographicallyPrecedes($0) }
            .sorted { $0.lexicographicallyPrecedes($1) }
          #expect(sink.records.map { Array($0.key.utf8) } == expected)
        }
      }
    },
    Check("a list of what somebody may see is all of that, and reads little else") { database in
      var limits = StoreLimits.prompt
      limits.pageMax = 4
      limits.listTurnRowsMax = 6
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      let keys = "abcdef".flatMap { letter in (10..<30).map { "\(letter)/\($0)" } }
      try await node.performTogether(keys.map { .hold($0, "a", lease: 3_600) })
      for visible in [
        KeySet.all, KeySet.none, KeySet(prefixes: ["b/", "e/1"]), KeySet(names: ["a/10", "f/29"]),
        KeySet(prefixes: ["", "c"]),
        KeySet(prefixes: ["b/2", "g"], names: ["b/1", "b/19", "e/10"]),
      ] {
        for (prefix, after) in [("", ""), ("b/", ""), ("b/2", "b/25"), ("", "b/25"), ("e", "x")] {
          var range = Query.Range(kind: .lock, prefix: prefix, afterKey: after)
          range.visible = visible
          let sink = RecordCollector()
          #expect(try await node.store.ask(.list(range, into: sink)).get() == .listed(.complete))
          let expected = keys.filter {
            $0.hasPrefix(prefix) && $0 > after && visible.contains($0)
          }
          #expect(sink.records.map(\.key) == expected)
          // A page more than it has, and one for each part.
          #expect(sink.pagesBegun <= expected.count / limits.pageMax + 5)
        }
      }
    },
    Check("every length of list is complete, whatever the page") { database in
      var limits = StoreLimits.prompt
      limits.pageMax = 4
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      for count in 0...13 {
        #expect(try await node.list(.lock).count == count)
        _ = try await node.claim("key-\(count)", "a")
      }
    },
    Check("a list ends where its reader has had enough") { database in
      var limits = StoreLimits.prompt
      limits.pageMax = 4
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      for number in 10..<30 { _ = try await node.claim("key-\(number)", "a") }
      let sink = RecordCollector(max: 5)
      let outcome = try await node.store.ask(.list(Query.Range(kind: .lock), into: sink)).get()
      #expect(outcome == .listed(.stopped))
      #expect(sink.records.map(\.key) == (10..<18).map { "key-\($0)" })
    },
    Check("what is held all the time is in a list once, though it is read from several snapshots") {
      database in
      var limits = StoreLimits.prompt
      limits.pageMax = 4
      limits.listTurnRowsMax = 4
      let node = try StoreNode(database, limits: limits)
      let other = try StoreNode(database)
      defer { for node in [node, other] { node.close() } }
      for number in 10..<30 { _ = try await node.claim("key-\(number)", "a") }
      for isOfOneMoment in [false, true] {
        var range = Query.Range(kind: .lock)
        range.isOfOneMoment = isOfOneMoment
        // Between two pages others release what comes later, and take what comes before and after.
        let sink = RecordCollector { page in
          guard page == 1 else { return }
          for command in [
            Command.release(key: "key-25", owner: "a"), .hold("key-05", "b"), .hold("key-26/", "b"),
          ] {
            other.store.performBlocking(command)
          }
        }
        #expect(try await node.store.ask(.list(range, into: sink)).get() == .listed(.complete))
        let steady = (10..<30).filter { $0 != 25 }.map { "key-\($0)" }
        let keys = sink.records.map(\.key)
        #expect(keys.filter { steady.contains($0) } == steady)
        #expect(keys == keys.sorted())
        // Of one moment: that of the beginning.
        if isOfOneMoment {
          #expect(keys == (10..<30).map { "key-\($0)" })
        } else {
          #expect(!keys.contains("key-25") && keys.contains("key-26/"))
        }
        for key in ["key-05", "key-26/"] { try await node.perform(.release(key: key, owner: "b")) }
        _ = try await node.claim("key-25", "a")
      }
    },
    Check("what nobody waits for any more is neither done nor read") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let grant = try await node.claim("key", "a")
      for result in [
        await node.store.perform(.release(key: "key", owner: "a"), isWanted: false),
        await node.store.perform(.hold("new", "a"), isWanted: false),
        await node.store.ask(.fetch(key: "key"), isWanted: false),
        await node.store.ask(
          .list(Query.Range(kind: .lock), into: RecordCollector()), isWanted: false),
      ] {
        #expect(result == .failure(.unwanted))
      }
      #expect(try await node.list(.lock).map(\.revision) == [grant.revision])
    },
    Check("a query by prefix gives what is held under it, up to its bound") { database in
      var limits = StoreLimits.prompt
      limits.prefixRowsMax = 3
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      for key in ["p/3", "p/1", "p", "p0", "o/1", "P/1", "p/\u{10000}"] {
        _ = try await node.claim(key, "a", kind: .presence)
      }
      func under(_ prefix: String) async throws -> [String] {
        let outcome = try await node.store.ask(.prefix(prefix)).get()
        guard case .records(let records) = outcome else { throw Unexpected(outcome: outcome) }
        return records.map(\.key)
      }
      #expect(try await under("p/") == ["p/1", "p/3", "p/\u{10000}"])
      #expect(try await under("q").isEmpty)
      #expect(try await under("p").count == 3)
    },
    Check("the store says of itself what its meta rows say") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      try database.set(.newestShape, to: 9, note: "")
      try database.set(.tokenFloor, to: 41, note: "")
      guard case .meta(let meta, _) = try await node.store.ask(.meta).get() else { return }
      #expect((meta.newestShape, meta.oldestShape, meta.tokenFloor) == (9, 1, 41))
      #expect(try await node.claim("key", "a").token == 42)
    },
  ]
}
