import Exclusion
import LockCore
import Storage
import Testing

extension StoreConformance {
  /// Queues, deadlines and the end.
  static let boundChecks = [
    Check("more than the queue holds is refused as overload, and what is in it is done") {
      database in
      var limits = StoreLimits.prompt
      limits.queueMax = 10
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      let gate = node.faults.hold(.facts)
      async let first = node.store.perform(.hold("first", "a"))
      await gate.arrival()
      let results = await node.store.perform((1...40).map { .hold("key-\($0)", "a") }) {
        gate.open()
      }
      // What the store's own scan found may have taken a place or two.
      let done = results.prefix { (try? $0.get()) != nil }
      #expect((1...limits.queueMax).contains(done.count))
      for result in results.dropFirst(done.count) {
        guard case .failure(let error) = result else {
          Issue.record("a full queue took in what came later: \(result)")
          continue
        }
        #expect(error.code == .overloaded)
      }
      // Where a transaction of the server's own came first, it stood in the queue like them.
      let isFirstDone = (try? await first.get()) != nil
      #expect(try await node.list(.lock).count == done.count + (isFirstDone ? 1 : 0))
    },
    Check("more bytes than the queue holds are refused as overload, until there is room again") {
      database in
      var limits = StoreLimits.prompt
      limits.queueBytesMax = 10_000
      let node = try StoreNode(database, limits: limits)
      defer { node.close() }
      let value = String(repeating: "v", count: 3_000)
      let gate = node.faults.hold(.facts)
      async let first = node.store.perform(.hold("first", "a"))
      await gate.arrival()
      let results = await node.store.perform(
        (1...5).map { .hold("key-\($0)", "a", value: value) }
      ) { gate.open() }
      #expect(results.map { (try? $0.get()) != nil } == [true, true, true, false, false])
      guard case .failure(let error) = results[4] else { return }
      #expect(error.code == .overloaded)
      _ = await first
      for number in 1...20 { _ = try await node.claim("later-\(number)", "a", value: value) }
    },
    Check("what comes to its turn after its deadline is not done") { database in
      let node = try StoreNode(database)
      defer { node.close() }
      let now = node.clock.now
      let late = StoreResult.failure(.deadlinePassed)
      #expect(await node.store.perform(.hold("key", "a"), deadline: now) == late)
      #expect(await node.store.ask(.fetch(key: "key"), deadline: now) == late)
      #expect(try database.row(forKey: "key") == nil)
      let soon = now + 1
      #expect(try await node.store.perform(.hold("key", "a"), deadline: soon).get() != .released)
      #expect(try await node.store.ask(.fetch(key: "key"), deadline: soon).get() != .found(nil))
    },
    Check("shutdown finishes what is queued, refuses the rest, and leaves the rows") { database in
      var limits = StoreLimits.prompt
      limits.batchMax = 100
      let node = try StoreNode(database, limits: limits)
      let gate = node.faults.hold(.facts)
      async let first = node.store.perform(.hold("first", "a"))
      await gate.arrival()
      let closing = Mutex<ThreadWork<Void>?>(nil)
      let results = await node.store.perform((1...1_000).map { .hold("key-\($0)", "a") }) {
        closing.withLock { $0 = ThreadWork { node.close() } }
        gate.open()
      }
      _ = await first
      #expect(results.allSatisfy { (try? $0.get()) != nil })
      try await closing.withLock { $0! }.value
      let refused = StoreResult.failure(.shuttingDown)
      while await node.store.perform(.hold("late", "a")) != refused { await Task.yield() }
      #expect(await node.store.ask(.fetch(key: "first")) == refused)
      #expect(try database.row(forKey: "key-1000")?.owner == "a")
    },
  ]
}
