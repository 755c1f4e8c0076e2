import LockCore
package import Storage

/// An engine that fails as a ``FaultPlan`` has it.
package struct FaultyEngine: StoreEngine {
  private let engine: any StoreEngine
  private let plan: FaultPlan

  package var location: String { engine.location }
  package var shapes: KnownShapes { engine.shapes }

  package func remarks() -> [String] { engine.remarks() }

  package init(_ engine: any StoreEngine, plan: FaultPlan) {
    self.engine = engine
    self.plan = plan
  }

  package func openWriter() throws(StoreError) -> any StoreWriter {
    let fault = plan.arrive(at: .openWriter)
    guard fault == nil else { throw Fault.error }
    return FaultyWriter(try engine.openWriter(), plan: plan)
  }

  package func openReader() throws(StoreError) -> any StoreReader {
    let fault = plan.arrive(at: .openReader)
    guard fault == nil else { throw Fault.error }
    return FaultyReader(try engine.openReader(), plan: plan)
  }
}

private final class FaultyWriter: StoreWriter {
  private let writer: any StoreWriter
  private let plan: FaultPlan
  private var isLost = false

  init(_ writer: any StoreWriter, plan: FaultPlan) {
    self.writer = writer
    self.plan = plan
  }

  var isUsable: Bool { !isLost && writer.isUsable }

  var log: StoreLog { writer.log }

  func restartLog() -> Bool { !isLost && writer.restartLog() }

  func keysWithTerms(
    after key: String, limit: Int
  ) throws(StoreError) -> [(key: String, hasRow: Bool)] {
    try at(.rows) { () throws(StoreError) in try writer.keysWithTerms(after: key, limit: limit) }
  }

  private func at<R>(
    _ point: FaultPoint, _ body: () throws(StoreError) -> R
  ) throws(StoreError) -> R {
    guard !isLost else { throw Fault.error }
    switch plan.arrive(at: point) {
    case nil: return try body()
    case .notDone: throw Fault.error
    case .doneAll:
      _ = try body()
      throw Fault.error
    case .connectionLost:
      isLost = true
      writer.rollback()
      throw Fault.error
    }
  }

  func begin() throws(StoreError) { try at(.begin) { () throws(StoreError) in try writer.begin() } }

  func meta() throws(StoreError) -> StoreMeta {
    try at(.meta) { () throws(StoreError) in try writer.meta() }
  }

  func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?] {
    try at(.rows) { () throws(StoreError) in try writer.rows(forKeys: keys) }
  }

  func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?] {
    try at(.rows) { () throws(StoreError) in try writer.rows(withIDs: ids) }
  }

  func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    try at(.rows) { () throws(StoreError) in try writer.freeRows(afterID: id, limit: limit) }
  }

  func rows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    try at(.rows) { () throws(StoreError) in try writer.rows(afterID: id, limit: limit) }
  }

  func write(
    _ changes: [RowChange], maintaining oldest: Int64
  ) throws(StoreError) -> [Int64] {
    try at(.write) { () throws(StoreError) in
      try writer.write(changes, maintaining: oldest)
    }
  }

  func refill(_ rows: [StoredRow], maintaining oldest: Int64) throws(StoreError) {
    try at(.write) { () throws(StoreError) in try writer.refill(rows, maintaining: oldest) }
  }

  func delete(ids: [Int64]) throws(StoreError) {
    try at(.write) { () throws(StoreError) in try writer.delete(ids: ids) }
  }

  func setTerms(_ changes: [TermChange]) throws(StoreError) {
    try at(.write) { () throws(StoreError) in try writer.setTerms(changes) }
  }

  func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError) {
    try at(.write) { () throws(StoreError) in try writer.set(name, to: value) }
  }

  func giveUpShapes(before shape: Int64, neededRelease release: String) throws(StoreError) {
    try at(.write) { () throws(StoreError) in
      try writer.giveUpShapes(before: shape, neededRelease: release)
    }
  }

  func commit() throws(StoreError) {
    try at(.commit) { () throws(StoreError) in try writer.commit() }
  }

  func rollback() {
    if !isLost { writer.rollback() }
  }

  func changesByOthers() throws(StoreError) -> Int64 {
    try at(.changes) { () throws(StoreError) in try writer.changesByOthers() }
  }
}

private final class FaultyReader: StoreReader {
  private let reader: any StoreReader
  private let plan: FaultPlan
  private var isLost = false

  init(_ reader: any StoreReader, plan: FaultPlan) {
    self.reader = reader
    self.plan = plan
  }

  private func at<R>(
    _ point: FaultPoint, _ body: () throws(StoreError) -> R
  ) throws(StoreError) -> R {
    guard !isLost else { throw Fault.error }
    guard let fault = plan.arrive(at: point) else { return try body() }
    isLost = fault == .connectionLost
    throw Fault.error
  }

  func begin() throws(StoreError) {
    try at(.readBegin) { () throws(StoreError) in try reader.begin() }
  }

  func meta() throws(StoreError) -> StoreMeta {
    try at(.readMeta) { () throws(StoreError) in try reader.meta() }
  }

  func row(forKey key: String) throws(StoreError) -> StoredRow? {
    try at(.read) { () throws(StoreError) in try reader.row(forKey: key) }
  }

  func latestGrants(of keys: some Collection<String>) throws(StoreError) -> [LatestGrant?] {
    try at(.read) { () throws(StoreError) in try reader.latestGrants(of: keys) }
  }

  func rows(
    of kind: Kind?, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [StoredRow] {
    try at(.read) { () throws(StoreError) in
      try reader.rows(of: kind, in: range, limit: limit)
    }
  }

  func keys(
    withTerm term: String, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [String] {
    try at(.read) { () throws(StoreError) in
      try reader.keys(withTerm: term, in: range, limit: limit)
    }
  }

  func count(ofTerm term: String, in range: KeyRange, max: Int) throws(StoreError) -> Int {
    try at(.read) { () throws(StoreError) in
      try reader.count(ofTerm: term, in: range, max: max)
    }
  }

  func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease] {
    try at(.read) { () throws(StoreError) in try reader.leases(afterID: id, limit: limit) }
  }

  func lastID() throws(StoreError) -> Int64 {
    try at(.read) { () throws(StoreError) in try reader.lastID() }
  }

  func end() { reader.end() }
}
