import Storage

/// A question to the store as statements, each with what its result says.
struct StoreQuestions<Engine: NetworkEngine> {
  typealias Statement = Engine.Connection.Statement
  typealias Result = Engine.Connection.Result

  private let engine: Engine
  private(set) var asked: [Statement] = []
  private var absorb: [(Result, inout Facts) -> Void] = []

  init(_ wanted: Wanted, _ engine: Engine) {
    self.engine = engine
    let (statements, shapes) = (engine.statements, engine.shapes)
    if !wanted.keys.isEmpty {
      ask(statements.rows(forKeys: wanted.keys)) { result, facts in
        facts.byKey = Self.inPlace(result, count: wanted.keys.count) { shapes.row($0) }
      }
    }
    if !wanted.ids.isEmpty {
      ask(statements.rows(withIDs: wanted.ids)) { result, facts in
        facts.byID = Self.inPlace(result, count: wanted.ids.count) { shapes.row($0) }
      }
    }
    if !wanted.grants.isEmpty {
      ask(statements.latestGrants(ofKeys: wanted.grants)) { result, facts in
        facts.grants = Self.inPlace(result, count: wanted.grants.count) {
          LatestGrant(token: $0.integer(0), isOver: $0.integer(1) == 1)
        }
      }
    }
    for count in wanted.counts {
      ask(statements.count(count)) { result, facts in
        facts.counts.append(Int(result[0].integer(0)))
      }
    }
    if wanted.wantsLastID {
      ask(statements.lastID) { result, facts in
        facts.lastID = result[0].isNull(0) ? 0 : result[0].integer(0)
      }
    }
    if wanted.wantsRuns {
      ask(Engine.Statements.allRuns) { result, facts in
        facts.runs = result.rows.map {
          RunState(id: $0.integer(0), commits: $0.integer(2), settled: $0.integer(3))
        }
      }
    }
    if let page = wanted.page { ask(page) }
    // Last: in a transaction that sees what others do meanwhile, no floor is older than what it is needed for.
    asked.append(Engine.Statements.meta)
  }

  private mutating func ask(
    _ statement: Statement, _ absorb: @escaping (Result, inout Facts) -> Void
  ) {
    asked.append(statement)
    self.absorb.append(absorb)
  }

  /// Values that come with their places.
  private static func inPlace<Value>(
    _ result: Result, count: Int, _ value: (Result.Row) -> Value
  ) -> [Value?] {
    var values = [Value?](repeating: nil, count: count)
    for row in result.rows { values[Int(row.integer(0))] = value(row.dropFirst(1)) }
    return values
  }

  private mutating func ask(_ page: Wanted.Page) {
    let shapes = engine.shapes
    ask(engine.statements.page(page)) { result, facts in
      switch page {
      case .rows, .freeRows, .held: facts.rows = result.rows.map { shapes.row($0) }
      case .leases: facts.leases = result.rows.map { SeenLease(named: $0, shapes) }
      case .found(_, _, let limit):
        facts.rows = result.rows.compactMap { row in
          row.isNull(1) ? nil : shapes.row(row.dropFirst(1))
        }
        facts.latestKeyFound = result.count == limit ? result[limit - 1].text(0) : nil
      case .keysWithTerms:
        facts.keysWithTerms = result.rows.compactMap { row in
          row.text(0).map { ($0, row.integer(1) != 0) }
        }
      }
    }
  }

  /// - Parameter results: Of ``asked``, in their order, and perhaps of what stood behind.
  func facts(_ results: ArraySlice<Result>) throws(StoreError) -> Facts {
    var facts = try engine.facts(ofMeta: results[results.startIndex + absorb.count])
    for (result, absorb) in zip(results, absorb) { absorb(result, &facts) }
    return facts
  }
}

extension SeenLease {
  /// From key and owner and the cells of a lease.
  init(named cells: some SQLRow, _ shapes: KnownShapes) {
    self.init(cells.dropFirst(2), shapes)
    if let key = cells.text(0), let owner = cells.text(1) { name = Name(key: key, owner: owner) }
  }
}
