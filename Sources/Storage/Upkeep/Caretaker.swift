import LockCore

/// Does the upkeep on a thread and a connection of its own, where transactions do not wait for each other:
/// those of clients go on beside it. With one writer for all, it takes its turns on the clients' connection
/// instead (``CommandWriter``), as a second one would only stand in line with it.
final class Caretaker {
  private let engine: any StoreEngine
  private let limits: StoreLimits
  private let clock: @Sendable () -> MonotonicTime
  private let observer: any StoreObserver
  private var writer: (any StoreWriter)?
  private var upkeep: Upkeep

  init(
    engine: any StoreEngine, limits: StoreLimits, clock: @escaping @Sendable () -> MonotonicTime,
    observer: any StoreObserver
  ) {
    self.engine = engine
    self.limits = limits
    self.clock = clock
    self.observer = observer
    upkeep = Upkeep(limits: limits, shapes: engine.shapes, now: clock())
  }

  /// How long the thread may wait for orders before the next turn.
  var waitNanoseconds: Int64 { min(max(upkeep.due - clock(), 0), limits.tickNanoseconds) }

  func turn(_ orders: [Upkeep.GivingUp]) {
    for order in orders { upkeep.giveUp(order) }
    guard upkeep.due <= clock() else { return }
    do throws(StoreError) {
      try upkeep.run(openWriter(), engine, observer: observer, clock: clock)
    } catch {
      if writer?.isUsable != true { writer = nil }
      observer.upkeepFailed(error)
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
