import LockCore
import Testing

/// The lease table against a model that looks at every lease each time.
@Suite struct LeaseTablePropertyTests {
  private struct Known {
    var sighting: Sighting
    var deadline: MonotonicTime
    var kind: Kind?
    /// When the lease was last given out as over.
    var given: MonotonicTime?

    /// From when on it has to be among what is due.
    func isOwed(at now: MonotonicTime) -> Bool {
      deadline <= now && given.map { now - $0 >= retry } ?? true
    }
  }

  /// As long as the shortest lease: what was given out and then renewed comes up again in time.
  private static let retry: Int64 = 1_000_000_000

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func agreesWithTheModel(seed: UInt64) {
    var random = Generator(seed: seed)
    var table = LeaseTable()
    var model: [Int64: Known] = [:]
    var now = MonotonicTime(nanoseconds: 0)
    for step in 1...3_000 {
      let place: Comment = "seed \(seed), step \(step)"
      let id = Int64.random(in: 1...12, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5:
        let sighting = Sighting(
          token: Int64(step / 300), revision: Int64.random(in: 1...40, using: &random))
        let lease = Lease(seconds: Int64.random(in: 1...20, using: &random))!
        let kind = [Kind.lock, .presence, nil].randomElement(using: &random)!
        let isInSnapshot = Bool.random(using: &random)
        table.see(
          id: id, as: sighting, lease: lease, kind: kind,
          in: isInSnapshot ? .snapshot : .transaction, at: now)
        let isNews = model[id].map {
          isInSnapshot ? sighting.isLater(than: $0.sighting) : sighting != $0.sighting
        }
        if isNews ?? true {
          model[id] = Known(
            sighting: sighting, deadline: now + lease.nanoseconds, kind: kind, given: nil)
        }
      case 5:
        table.forget(id: id)
        model[id] = nil
      default:
        now = now + 4 * Int64.random(in: 0...1_000_000_000, using: &random)
        let limit = Bool.random(using: &random) ? Int.max : Int.random(in: 1...6, using: &random)
        let owed = model.filter { $0.value.isOwed(at: now) }
        if let earliest = owed.values.map(\.deadline).min() {
          #expect(table.nextLook.map { $0 <= max(earliest, now) } ?? false, place)
        }
        let due = table.takeDue(at: now, limit: limit, retryNanoseconds: Self.retry)
        #expect(due.count <= limit, place)
        for lease in due {
          #expect(model[lease.id]?.sighting == lease.sighting, place)
          #expect(model[lease.id].map { $0.deadline <= now } ?? false, place)
          model[lease.id]?.given = now
        }
        if due.count < limit {
          #expect(Set(owed.keys).isSubset(of: due.map(\.id)), place)
        }
      }
      #expect(table.count == model.count, place)
      for kind in Kind.allCases {
        #expect(table.count(of: kind) == model.values.count { $0.kind == kind }, place)
      }
    }
  }

  /// SplitMix64, as in TestKit, which stands above the core.
  private struct Generator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var mixed = state
      mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
      return mixed ^ (mixed >> 31)
    }
  }
}
