import LockCore

/// Does the upkeep on a thread and a connection of its own, where transactions do not wait for each other:
/// those of clients go on beside it. With one writer for all, it takes its turns on the clients' connection
/// instead (``CommandWriter``), as a second one would only stand in line with it.
final class Caretaker {
  private let engine: any StoreEngine
  private let limits: StoreLimits
  private let clock: @Sendable () -> MonotonicTime
  private let observer: any StoreObserver
  private let noteRemarks: () -> Void
  private var writer: (any StoreWriter)?
  private var upkeep: Upkeep
  /// When something is to be committed though there may be nothing to do.
  private var signDue: MonotonicTime

  init(
    engine: any StoreEngine, limits: StoreLimits, clock: @escaping @Sendable () -> MonotonicTime,
    observer: any StoreObserver, noteRemarks: @escaping () -> Void = {}
  ) {
    self.engine = engine
    self.limits = limits
    self.clock = clock
    self.observer = observer
    self.noteRemarks = noteRemarks
    upkeep = Upkeep(limits: limits, shapes: engine.shapes, now: clock())
    signDue = clock() + limits.signOfUpkeepNanoseconds
  }

  private var due: MonotonicTime { min(upkeep.due, max(signDue, upkeep.resumption)) }

  /// How long the thread may wait for orders before the next turn.
  var waitNanoseconds: Int64 { min(max(due - clock(), 0), limits.tickNanoseconds) }

  func turn(_ orders: [Upkeep.GivingUp]) {
    for order in orders { upkeep.giveUp(order) }
    guard due <= clock() else { return }
    do throws(StoreError) {
      let writer = try openWriter()
      try upkeep.run(writer, engine, observer: observer, clock: clock)
      guard signDue <= clock() else { return }
      try giveSign(writer)
      try writer.lookAtSettings()
      noteRemarks()
    } catch {
      if writer?.isUsable != true { writer = nil }
      observer.upkeepFailed(error)
    }
  }

  /// Others take a run for dead that commits nothing for long.
  private func giveSign(_ writer: any StoreWriter) throws(StoreError) {
    do throws(StoreError) {
      let facts = try writer.read(Wanted())
      try Fence.check(facts.meta, engine)
      var changes = Changes(maintaining: facts.meta.oldestShape)
      changes.settled = facts.settled
      // Where others were in its way, it is looked again soon.
      let isDone = try writer.apply(changes) != .conflict
      signDue = clock() + (isDone ? limits.signOfUpkeepNanoseconds : limits.tickNanoseconds)
    } catch {
      writer.forget()
      upkeep.failed(at: clock())
      throw error
    }
  }

  private func openWriter() throws(StoreError) -> any StoreWriter {
    if let writer { return writer }
    do throws(StoreError) {
      let opened = try engine.openWriter(for: .upkeep)
      writer = opened
      return opened
    } catch {
      upkeep.failed(at: clock())
      throw error
    }
  }
}
