import LockCore
package import Storage

/// An engine that fails as a ``FaultPlan`` has it.
package struct FaultyEngine: StoreEngine {
  private let engine: any StoreEngine
  private let plan: FaultPlan

  package var location: String { engine.location }
  package var shapes: KnownShapes { engine.shapes }

  package var keepsAccount: Bool { engine.keepsAccount }

  package func remarks() -> [String] { engine.remarks() }

  package init(_ engine: any StoreEngine, plan: FaultPlan) {
    self.engine = engine
    self.plan = plan
  }

  package func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter {
    let fault = plan.arrive(at: .openWriter)
    guard fault == nil else { throw Fault.error }
    return FaultyWriter(try engine.openWriter(for: purpose), of: purpose, plan: plan)
  }

  package func openReader() throws(StoreError) -> any StoreReader {
    let fault = plan.arrive(at: .openReader)
    guard fault == nil else { throw Fault.error }
    return FaultyReader(try engine.openReader(), plan: plan)
  }
}

private final class FaultyWriter: StoreWriter {
  private let writer: any StoreWriter
  private let purpose: WritingPurpose
  private let plan: FaultPlan
  private var isLost = false

  init(_ writer: any StoreWriter, of purpose: WritingPurpose, plan: FaultPlan) {
    self.writer = writer
    self.purpose = purpose
    self.plan = plan
  }

  var hasMadeStore: Bool { writer.hasMadeStore }
  var isUsable: Bool { !isLost && writer.isUsable }

  var log: StoreLog { writer.log }

  func restartLog() -> Bool { !isLost && writer.restartLog() }

  func acceptPast() { writer.acceptPast() }
  func goOn() -> Bool { writer.goOn() }
  func lookAtSettings() throws(StoreError) { try writer.lookAtSettings() }

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
      writer.forget()
      throw Fault.error
    }
  }

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    try at(purpose == .commands ? .facts : .upkeepFacts) { () throws(StoreError) in
      try writer.read(wanted)
    }
  }

  func apply(_ changes: Changes) throws(StoreError) -> Applied {
    if purpose == .commands, plan.isFoundOutElsewhere() {
      isLost = true
      writer.forget()
      return .conflict
    }
    return try at(purpose == .commands ? .apply : .upkeepApply) { () throws(StoreError) in
      try writer.apply(changes)
    }
  }

  func forget() {
    if !isLost { writer.forget() }
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

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    try at(.read) { () throws(StoreError) in try reader.read(wanted) }
  }

  func beginMoment() throws(StoreError) {
    try at(.moment) { () throws(StoreError) in try reader.beginMoment() }
  }

  func endMoment() { reader.endMoment() }

  func changesByOthers(since mark: ChangeMark?) throws(StoreError) -> ChangesByOthers {
    try at(.changes) { () throws(StoreError) in try reader.changesByOthers(since: mark) }
  }
}
