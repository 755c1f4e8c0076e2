import LockContent
import LockCore
import Storage
import Testing

extension StoreConformance {
  /// What is found by attributes and labels, with and without the terms that lead to it.
  static let termChecks = [
    Check("the terms of a key are those of its holder, whoever wrote") { database in
      let older = try StoreNode(database, shapes: .upTo(1))
      let node = try StoreNode(database)
      let newer = try StoreNode(database, shapes: .upTo(4))
      defer { for node in [older, node, newer] { node.close() } }
      func terms() throws -> [String] { try database.terms(ofKey: "key").sorted() }
      let claim = Claim(
        kind: .lock, owner: "a", lease: Lease(seconds: 60)!,
        content:
          #"{"n": 8.0, "on": true, "none": null, "zone": "ü", "list": [1], "sub": {"n": 1}}"#,
        labels: ["team": "payments", "e": "\u{E9}"])
      let token = try await node.perform(.claim(key: "key", claim)).token!
      let labels = ["e=\u{E9}", "team=payments"]
      #expect(
        try terms() == labels + [#"{"n":8}"#, #"{"none":null}"#, #"{"on":true}"#, #"{"zone":"ü"}"#])
      // The other spelling of é.
      let respelled = Renewal(key: "key", token: token, labels: ["e": "e\u{301}", "team": ""])
      _ = try await newer.perform(.renew(respelled))
      #expect(
        try database.terms(ofKey: "key").contains { Array($0.utf8) == Array("e=e\u{301}".utf8) })
      _ = try await newer.perform(.renew(Renewal(key: "key", token: token, content: "{}")))
      #expect(try terms().count == 1)
      // An older server leaves them as they are; whoever knows them puts them right.
      _ = try await older.claim("key", "a", value: #"{"n":9}"#)
      _ = try await node.perform(.renew(Renewal(key: "key", token: token)))
      #expect(try database.terms(ofKey: "key").contains(#"{"n":9}"#))
      _ = try await older.perform(.release(key: "key", owner: "a"))
      _ = try await node.claim("key", "b", value: "no attributes")
      #expect(try terms() == [])
      _ = try await node.claim("key", "b", value: #"  {"n":1}"#)
      #expect(try terms() == [#"{"n":1}"#])
      try await node.perform(.release(key: "key", owner: "b"))
      #expect(try terms() == [])
      // Granted and given back in one transaction.
      try await node.performTogether([
        .hold("key", "c", value: #"{"n":1}"#), .release(key: "key", owner: "c"),
      ])
      #expect(try terms() == [])
    },
    Check("who fills a row leaves the terms of somebody who writes it meanwhile") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let engine = database.engine()
      // Else nobody writes meanwhile.
      guard engine.keepsAccount else { return }
      _ = try await node.claim("key", "a", value: #"{"n":1}"#)
      let writer = try engine.openWriter()
      let facts = try writer.read(Wanted(keys: ["key"]))
      let row = try #require(facts.byKey[0])
      _ = try await node.claim("key", "a", value: #"{"n":2}"#)
      var changes = Changes(maintaining: facts.meta.oldestShape)
      changes.refills = [row]
      changes.terms = [TermChange(key: "key", before: nil, after: [#"{"n":1}"#])]
      #expect(try writer.apply(changes) == .conflict)
      #expect(try database.terms(ofKey: "key") == [#"{"n":2}"#])
    },
    Check("what is too long to be a term does not keep a row from being found") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let long = String(repeating: "x", count: 600)
      _ = try await node.claim("long", "a", value: #"{"n":1,"long":"\#(long)"}"#)
      #expect(try database.terms(ofKey: "long") == [#"{"n":1}"#])
      let many = (1...33).map { #""n\#($0)":1"# }.joined(separator: ",")
      _ = try await node.claim("many", "a", value: "{\(many)}")
      #expect(try database.terms(ofKey: "many") == [Terms.whatever])
      let large = #"{"n":1,"l":"\#(String(repeating: "y", count: 5_000))"}"#
      _ = try await node.claim("large", "a", value: large)
      #expect(try database.terms(ofKey: "large") == [Terms.whatever])
      try await node.contract()
      #expect(try await node.find(["n": 1]) == ["large", "long"])
      #expect(try await node.find(["long": .string(long)]) == ["long"])
      #expect(try await node.find(["n33": 1]) == ["many"])
    },
    Check("a list goes by terms when every row has them, and finds the same") { database in
      let older = try StoreNode(database, shapes: .upTo(1))
      let node = try StoreNode(database)
      defer { for node in [older, node] { node.close() } }
      for number in 1...40 {
        let writer = number % 3 == 0 ? older : node
        _ = try await writer.claim(
          "key-\(number)", "a", value: #"{"n":\#(number % 4),"even":\#(number % 2 == 0)}"#,
          kind: number % 5 == 0 ? .presence : .lock)
      }
      let filters: [Attributes] = [
        ["n": 3], ["even": true], ["n": 2, "even": true], ["n": 1, "even": true], ["none": 1], [:],
        ["n": [1]],
      ]
      let before = try await filters.asyncMap { try await node.find($0) }
      #expect(before.map(\.count) == [8, 16, 8, 0, 0, 32, 0])
      // While an older server may write, nobody goes by them.
      let writer = try database.engine().openWriter()
      func set(_ terms: [String], of key: String) throws {
        try writer.setTerms(terms, ofKeys: [key])
      }
      try set([], of: "key-7")
      #expect(try await node.find(["n": 3]) == before[0])
      try set([#"{"even":false}"#, #"{"n":3}"#], of: "key-7")
      try await node.contract()
      #expect(try await filters.asyncMap { try await node.find($0) } == before)
      // Of terms that lead to nothing nobody hears.
      try set([#"{"n":3}"#], of: "key-8")
      try set([#"{"n":3}"#], of: "no such key")
      #expect(try await node.find(["n": 3]) == before[0])
      #expect(try await node.find(["n": 3], prefix: "key-1") == ["key-11", "key-19"])
      // What shows that it goes by them: without one it does not get there.
      try set([], of: "key-7")
      #expect(try await node.find(["n": 3]) == before[0].filter { $0 != "key-7" })
      try set([Terms.whatever], of: "key-7")
      #expect(try await node.find(["n": 3]) == before[0])
    },
    Check("terms page by page, up to a bound and from a key on") { database in
      var limits = StoreLimits.prompt
      limits.pageMax = 3
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      for number in 10..<30 {
        let value = number == 15 ? "{\(String(repeating: " ", count: 5_000))}" : #"{"n":1}"#
        _ = try await node.claim("key-\(number)", "a", value: value)
      }
      try await node.contract()
      let all = (10..<30).filter { $0 != 15 }.map { "key-\($0)" }
      #expect(try await node.find(["n": 1]) == all)
      var range = Query.Range(kind: .lock, afterKey: "key-12", countMax: 7)
      range.attributes = ["n": 1]
      let sink = RecordCollector()
      let outcome = try await node.store.ask(.list(range, into: sink)).get()
      #expect(outcome == .listed(.more) && sink.records.map(\.key) == Array(all[3..<10]))
    },
    Check("what older servers leave behind in a row that they freed is cleared up") { database in
      let older = try StoreNode(database, shapes: .upTo(1))
      let node = try StoreNode(database)
      defer { for node in [older, node] { node.close() } }
      try await node.turns(until: { try database.meta.backfill.row == BackfillState.done })
      _ = try await node.claim("key", "a", value: #"{"n":1}"#)
      try await older.perform(.release(key: "key", owner: "a"))
      #expect(try database.terms(ofKey: "key").count == 1)
      #expect(try database.cells(forKey: "key") != [:])
      // The sweep of the next epoch comes before any server may delete the row.
      node.clock.advance(seconds: 3_601)
      try await node.turns(until: { try database.terms(ofKey: "key").isEmpty })
      #expect(try database.row(forKey: "key")?.owner == nil)
      #expect(try database.cells(forKey: "key") == [:])
    },
    Check("terms without a row, as a time of only older servers leaves them, are swept") {
      database in
      var limits = StoreLimits.prompt
      limits.sweepKeysMax = 3
      limits.backfillLookNanoseconds = 1_000_000
      func set(_ keys: [String]) throws {
        let writer = try database.engine().openWriter()
        try writer.setTerms([#"{"n":1}"#, "team=payments"], ofKeys: keys)
      }
      let gone = (10..<30).map { "gone-\($0)" } + ["", "\u{E9}", "z\u{10FFFF}"].map { "\($0)x" }
      try set(gone)
      do {
        let node = try StoreNode(database, limits: limits)
        defer { node.close() }
        for number in 10..<20 {
          _ = try await node.claim("held-\(number)", "a", lease: 3_600, value: #"{"n":1}"#)
        }
        func sweepsAll() async throws {
          node.clock.advance(seconds: 1)
          try await node.turns {
            node.clock.advance(seconds: 1)
            return try gone.allSatisfy { try database.terms(ofKey: $0).isEmpty }
          }
          for number in 10..<20 {
            #expect(try database.terms(ofKey: "held-\(number)") == [#"{"n":1}"#])
          }
        }
        try await sweepsAll()
        // Once more when the servers that leave such terms cannot come back.
        try set(gone)
        try await node.contract()
        try await sweepsAll()
      }
    },
    Check("terms of a key whose row went are no harm to the next one") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let writer = try database.engine().openWriter()
      try writer.setTerms([#"{"n":1}"#, "team=payments"], ofKeys: ["with", "without"])
      _ = try await node.claim("with", "a", value: #"{"n":1,"m":2}"#)
      #expect(try database.terms(ofKey: "with").sorted() == [#"{"m":2}"#, #"{"n":1}"#])
      _ = try await node.claim("without", "a")
      _ = try await node.claim("without", "a", value: #"{"n":1}"#)
      #expect(try database.terms(ofKey: "without").contains(#"{"n":1}"#))
    },
    Check("names and texts count by their bytes, with terms and without") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let names = ["\u{E9}", "e\u{301}", "K", "\u{212A}"]
      for (number, name) in names.enumerated() {
        _ = try await node.claim(
          "name-\(number)", "a", value: #"{"\#(name)":1,"x":{"\#(name)":2}}"#)
        _ = try await node.claim("text-\(number)", "a", value: #"{"text":"\#(name)"}"#)
      }
      func check() async throws {
        for (number, name) in names.enumerated() {
          #expect(try await node.find([name: 1]) == ["name-\(number)"])
          #expect(try await node.find(["x": [name: 2]]) == ["name-\(number)"])
          #expect(try await node.find(["text": .string(name)]) == ["text-\(number)"])
        }
      }
      try await check()
      try await node.contract()
      try await check()
    },
    Check("of several terms the one that leads to few is gone by") { database in
      var limits = StoreLimits.prompt
      limits.pageMax = 4
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      for number in 10..<90 {
        let value = #"{"all":1,"half":\#(number % 2),"few":\#(number % 10)}"#
        _ = try await node.claim("key-\(number)", "a", value: value)
      }
      try await node.contract()
      let expected = stride(from: 13, to: 90, by: 10).map { "key-\($0)" }
      #expect(try await node.find(["all": 1, "half": 1, "few": 3]) == expected)
      #expect(try await node.find(["all": 1, "half": 0, "few": 3]) == [])
      #expect(try await node.find(["all": 1, "half": 1, "none": 3]) == [])
    },
    Check("a list that nobody waits for any more ends, though nothing is found") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      _ = try await node.claim("key", "a")
      var range = Query.Range(kind: .lock)
      range.attributes = ["n": 1]
      let sink = RecordCollector(isWanted: false)
      #expect(try await node.store.ask(.list(range, into: sink)).get() == .listed(.stopped))
    },
  ]
}

extension StoreNode {
  /// The keys of the locks that have these attributes.
  fileprivate func find(_ attributes: Attributes, prefix: String = "") async throws -> [String] {
    var range = Query.Range(kind: .lock, prefix: prefix)
    range.attributes = attributes
    let sink = RecordCollector()
    let outcome = try await store.ask(.list(range, into: sink)).get()
    guard outcome == .listed(.complete) else { throw Unexpected(outcome: outcome) }
    return sink.records.map(\.key)
  }

  /// Gives s1 up, and waits until every row has s2.
  fileprivate func contract() async throws {
    store.giveUpShapes(
      before: S2.number, neededRelease: "0.3.0", deadline: MonotonicTime(nanoseconds: .max))
    await observer.reaches { $0.oldestShape == S2.number }
    // What passes within a step is rested for nine times over; and no lease is to end.
    for milliseconds in [1_100, 10_000] as [Int64] {
      clock.advance(nanoseconds: milliseconds * 1_000_000)
      let isFilled = try await hasCome {
        guard case .meta(let meta, _) = try await self.store.ask(.meta).get() else { return false }
        return meta.filledShape == S2.number
      }
      if isFilled { return }
    }
    Issue.record("not filled")
  }
}

extension Sequence {
  fileprivate func asyncMap<R>(_ body: (Element) async throws -> R) async rethrows -> [R] {
    var results: [R] = []
    for element in self { results.append(try await body(element)) }
    return results
  }
}
