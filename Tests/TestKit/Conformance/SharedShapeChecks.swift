import LockContent
import LockCore
import Storage
import Testing

extension StoreConformance {
  /// Servers that know different shapes, on one database: *shared-store*, *free-rollback*,
  /// *no-ceremony*, *stale-fenced*.
  static let sharedShapeChecks = [
    Check("a value that an older server writes is what every server reads") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      for (round, writer) in fleet.orders.enumerated() {
        let text = #"{"round": \#(round), "by": \#(writer)}"#
        _ = try await fleet[writer].claim("key", "a", value: text)
        for reader in fleet.newest {
          let holder = try #require(try await fleet[reader].fetch("key")?.holder)
          // Exactly as it was written, and as attributes.
          #expect(holder.content.text == text, "s\(writer) wrote, s\(reader) reads")
          #expect(
            holder.content.attributes
              == ["round": .number(Double(round)), "by": .number(Double(writer))])
        }
      }
    },
    Check("what only newer servers know survives what older ones write") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      let time = StatedTime(seconds: 1_700_000_000, nanoseconds: 123_456_789)!
      var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: "v")
      claim.labels = ["team": "payments"]
      claim.grantedAt = time
      let token = try await fleet[4].perform(.claim(key: "key", claim)).token
      for (round, writer) in fleet.orders.enumerated() {
        #expect(try await fleet[writer].claim("key", "a", value: "\(round)").token == token)
        let seen = try #require(try await fleet[2].fetch("key")?.holder)
        #expect(seen.labels == ["team": "payments"])
        #expect(seen.grantedAt == StatedTime(milliseconds: time.milliseconds))
        #expect(try await fleet[4].fetch("key")?.holder?.grantedAt == time)
        #expect(try await fleet[1].fetch("key")?.holder?.labels == [:])
      }
      // A change of one of them by the server between is brought in, and leaves the other.
      let renewal = Renewal(key: "key", token: token!, labels: ["team": "", "zone": "z1"])
      _ = try await fleet[2].perform(.renew(renewal))
      _ = try await fleet[1].claim("key", "a", value: "last")
      let seen = try #require(try await fleet[4].fetch("key")?.holder)
      #expect(seen.labels == ["zone": "z1"] && seen.grantedAt == time && seen.content == "last")
    },
    Check("an older server's change of a text to another spelling is a change") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: "\u{E9}")
      claim.labels = ["e": "\u{E9}"]
      _ = try await fleet[4].perform(.claim(key: "key", claim))
      claim.labels = ["e": "e\u{301}"]
      claim.content = "e\u{301}"
      _ = try await fleet[2].perform(.claim(key: "key", claim))
      for reader in [2, 3, 4] as [Int64] {
        let seen = try #require(try await fleet[reader].fetch("key")?.holder)
        #expect(seen.labels["e"].map { Array($0.utf8) } == Array("e\u{301}".utf8))
        #expect(Array(seen.content.text.utf8) == Array("e\u{301}".utf8))
      }
    },
    Check("a new grant by an older server has nothing of the one before") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      for older in [1, 2] as [Int64] {
        for hasReleased in [1, 2, 3, 4] as [Int64] {
          var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: "v")
          claim.labels = ["team": "payments"]
          claim.grantedAt = StatedTime(seconds: 1, nanoseconds: 1)
          _ = try await fleet[4].perform(.claim(key: "key", claim))
          _ = try await fleet[hasReleased].perform(.release(key: "key", owner: "a"))
          // The same owner, the same value: only the token tells the grants apart.
          _ = try await fleet[older].claim("key", "a", value: "v")
          for newer in [2, 3, 4] as [Int64] {
            let seen = try #require(try await fleet[newer].fetch("key")?.holder)
            #expect(seen.labels == [:] && seen.grantedAt == nil)
          }
          _ = try await fleet[older].perform(.release(key: "key", owner: "a"))
        }
      }
    },
    Check("a lease that an older server accepts is not cut to a newer one's") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      // 250 ms are a second to s1, and 250.000001 ms are 251 ms to s2.
      for (lease, older, accepted) in [
        (Lease(milliseconds: 250)!, 1, Lease(seconds: 1)!),
        (Lease(nanoseconds: 250_000_001)!, 2, Lease(milliseconds: 251)!),
        (Lease(nanoseconds: 250_000_001)!, 1, Lease(seconds: 1)!),
      ] as [(Lease, Int64, Lease)] {
        let claim = Claim(kind: .lock, owner: "a", lease: lease, content: "v")
        let token = try await fleet[4].perform(.claim(key: "key", claim)).token!
        #expect(try await fleet[4].fetch("key")?.holder?.lease == lease)
        #expect(try await fleet[older].fetch("key")?.holder?.lease == accepted)
        // The older one renews by what it sees.
        _ = try await fleet[older].perform(.renew(Renewal(key: "key", token: token)))
        for reader in fleet.newest where reader >= older {
          #expect(try await fleet[reader].fetch("key")?.holder?.lease == accepted)
          let reading = try database.engine(.upTo(reader)).openReader()
          let wanted = Wanted(page: .leases(afterID: 0, limit: 9))
          #expect(try reading.read(wanted).leases.map(\.lease) == [accepted])
        }
        _ = try await fleet[4].perform(.release(key: "key", owner: "a"))
      }
    },
    Check("a value that somebody writes into the old column is not lost") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      let attributes: Attributes = ["zone": "z1"]
      let claim = Claim(
        kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: Content(attributes),
        labels: ["team": "payments"])
      _ = try await fleet[2].perform(.claim(key: "key", claim))
      var row = try #require(try database.row(forKey: "key"))
      #expect(row.value == #"{"zone":"z1"}"# && row.leaseSeconds == 60)
      // By hand, without a new revision.
      row.value = #"{"zone":"z2"}"#
      try database.put(row)
      let seen = try #require(try await fleet[2].fetch("key")?.holder)
      #expect(seen.content.attributes == ["zone": "z2"] && seen.labels == ["team": "payments"])
    },
    Check("columns that do not hold what they should are damage, not a crash") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      for (column, cell) in [
        ("s2_lease_milliseconds", Cell.null), ("s2_lease_milliseconds", .integer(0)),
        ("s2_content", .bytes([])), ("s2_content", .bytes([9])), ("s2_content", .bytes([1, 1])),
        ("s2_content", .bytes([1, 255, 255, 255, 255, 255, 255])), ("s2_content", .text("v")),
        ("s2_content", .bytes([0, 0xFF])), ("s2_content", .bytes([1, 1, 1, 97, 3, 0x7F, 0xF0])),
        ("s2_labels", .bytes([1])), ("s2_labels", .bytes([1, 97, 1, 98, 1, 97, 1, 98])),
        ("s2_granted_at", .integer(.max)), ("s2_granted_at", .text("now")),
      ] {
        if case .text = cell, database.isTyped { continue }
        _ = try await node.claim("key", "a", value: "v")
        try database.set(column, to: cell, forKey: "key")
        let found = await node.store.ask(.fetch(key: "key"))
        guard case .failure(let error) = found, error.code == .damaged else {
          Issue.record("\(column) = \(cell): \(found)")
          continue
        }
        #expect(error.message.contains("the columns of s2"))
        // Whoever claims it meets the damage too; a release by hand mends it.
        await #expect(throws: StoreError.self) {
          try await node.perform(.hold("key", "a"))
        }
        var row = try #require(try database.row(forKey: "key"))
        row.owner = nil
        row.freeEpoch = 0
        try database.put(row)
      }
    },
    Check("rows are brought into a new shape while everything goes on") { database in
      let old = try StoreNode(database, shapes: .upTo(1))
      defer { old.close() }
      for number in 1...50 {
        _ = try await old.claim("key-\(number)", "a", lease: 3_600, value: #"{"n":\#(number)}"#)
      }
      var limits = StoreLimits.prompt
      limits.backfillRowsMax = 7
      limits.backfillPauseNanoseconds = 0
      let new = try StoreNode(database, limits: limits)
      defer { new.close() }
      await new.observer.reaches { $0.filled == 50 }
      for number in [1, 25, 50] {
        let row = try #require(try database.row(forKey: "key-\(number)"))
        // Nothing that a client or an older server sees has changed.
        #expect(row.revision == 1 && row.value == #"{"n":\#(number)}"#)
        let cells = try database.cells(forKey: "key-\(number)")
        #expect(cells["s2_token"] == .integer(row.token) && cells["s2_revision"] == .integer(1))
        #expect(cells["s2_lease_milliseconds"] == .integer(3_600_000))
      }
      await new.observer.reaches { $0.filled == 50 && $0.turns > 0 }
      #expect(try database.meta.filledShape == 1)
    },
    Check("shapes that nobody needs are given up, and nothing is lost") { database in
      let old = try StoreNode(database, shapes: .upTo(1))
      let new = try StoreNode(database)
      defer { for node in [old, new] { node.close() } }
      // The first pass is over before anybody writes, and the next one waits for its time.
      try await new.turns(until: { try database.meta.backfill.row == BackfillState.done })
      let labels = Claim(
        kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: "v", labels: ["l": "x"])
      _ = try await new.perform(.claim(key: "key", labels))
      // The last thing that the older server does is seen by nobody before it is fenced off.
      _ = try await old.claim("key", "a", lease: 90, value: "by the older")
      _ = try await old.claim("only", "b", lease: 90, value: "by the older alone")
      new.store.giveUpShapes(
        before: 2, neededRelease: "0.3.0 or newer", deadline: .distantFuture)
      await new.observer.reaches { $0.oldestShape == 2 }
      for key in ["key", "only"] {
        let result = await old.store.perform(.hold(key, "a"))
        guard case .failure(let error) = result else {
          Issue.record("a fenced server answered \(result)")
          continue
        }
        #expect(error.code == .tooOldServer)
        #expect(error.message.contains("holds shapes s2 to s3, this server knows only s1"))
        #expect(error.message.hasSuffix("it needs 0.3.0 or newer"))
      }
      #expect(throws: StoreError.self) { try StoreNode(database, shapes: .upTo(1)) }
      let seen = try #require(try await new.fetch("key")?.holder)
      #expect(seen.content == "by the older" && seen.labels == ["l": "x"])
      #expect(seen.lease == Lease(seconds: 90))
      #expect(try await new.fetch("only")?.holder?.content == "by the older alone")
      // Once every row is filled, the older columns are not needed any more.
      new.clock.advance(seconds: 2)
      try await new.turns(until: { try database.meta.filledShape == 2 })
      var row = try #require(try database.row(forKey: "key"))
      #expect((row.value, row.leaseSeconds) == ("", -1))
      #expect(try await new.fetch("key")?.holder == seen)
      #expect(try await new.claim("key", "a", value: "w").isNew == false)
      row = try #require(try database.row(forKey: "key"))
      #expect((row.value, row.leaseSeconds, row.owner) == ("", -1, "a"))
      #expect(try await new.list(.lock).map(\.holder?.content.text) == ["w", "by the older alone"])
    },
    Check("shapes in the middle are given up too, and a newer one goes on") { database in
      let fleet = try MixedFleet(database)
      defer { fleet.close() }
      let time = StatedTime(seconds: 1, nanoseconds: 1)!
      var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: "v")
      claim.grantedAt = time
      _ = try await fleet[4].perform(.claim(key: "key", claim))
      _ = try await fleet[1].claim("key", "a", value: "by s1")
      fleet[4].store.giveUpShapes(
        before: 4, neededRelease: "0.9.0", deadline: .distantFuture)
      await fleet[4].observer.reaches { $0.oldestShape == 4 }
      for older in [1, 2, 3] as [Int64] {
        let result = await fleet[older].store.ask(.fetch(key: "key"))
        guard case .failure(let error) = result, error.code == .tooOldServer else {
          Issue.record("a fenced server answered \(result)")
          continue
        }
      }
      #expect(try await fleet[4].fetch("key")?.holder?.content == "by s1")
      let seen = try #require(try await fleet[4].fetch("key")?.holder)
      #expect(seen.content == "by s1" && seen.grantedAt == time)
      // What is written from now on has the newest columns only.
      _ = try await fleet[4].claim("key", "a", value: "by s4")
      let cells = try database.cells(forKey: "key")
      #expect(cells.keys.allSatisfy { $0.hasPrefix("s4_") } && cells.count > 4)
    },
  ]
}

/// A server of each shape on one database.
private struct MixedFleet {
  /// The newest shape of each.
  let newest: [Int64] = [1, 2, 3, 4]
  private let nodes: [StoreNode]

  init(_ database: any TestDatabase) throws {
    nodes = try newest.map { try StoreNode(database, shapes: .upTo($0)) }
  }

  subscript(newest: Int64) -> StoreNode { nodes[Int(newest) - 1] }

  /// Who writes one after the other: every pair in either order, and the same one twice.
  var orders: [Int64] { [4, 1, 2, 1, 3, 1, 4, 2, 3, 2, 4, 3, 4, 4, 1, 1, 2, 2, 3, 3] }

  func close() { for node in nodes { node.close() } }
}

extension MonotonicTime {
  fileprivate static let distantFuture = MonotonicTime(nanoseconds: .max)
}
