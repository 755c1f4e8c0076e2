import LockCore
import Testing

/// The lease table against a model that looks at every lease each time.
@Suite struct LeaseTablePropertyTests {
  private struct Known: Equatable {
    var sighting: Sighting
    var deadline: MonotonicTime
    var kind: Kind?
    /// Not given out before this, since it was given out lately.
    var quietUntil: MonotonicTime
  }

  private static let retry: Int64 = 2_000_000_000

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func agreesWithTheModel(seed: UInt64) {
    var random = Generator(seed: seed)
    var table = LeaseTable()
    var model: [Int64: Known] = [:]
    var now = MonotonicTime(nanoseconds: 0)
    for step in 1...3_000 {
      let id = Int64.random(in: 1...12, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5:
        let sighting = Sighting(
          token: Int64(step / 300), revision: Int64.random(in: 1...40, using: &random))
        let lease = Lease(seconds: Int64.random(in: 1...20, using: &random))!
        let kind = [Kind.lock, .presence, nil].randomElement(using: &random)!
        table.see(id: id, as: sighting, lease: lease, kind: kind, at: now)
        let isNews = model[id].map { sighting.isLater(than: $0.sighting) } ?? true
        if isNews {
          // A shorter lease may come up at once; a longer one not before its end.
          let deadline = now + lease.nanoseconds
          model[id] = Known(
            sighting: sighting, deadline: deadline, kind: kind, quietUntil: deadline)
        }
      case 5:
        table.forget(id: id)
        model[id] = nil
      default:
        now = now + Int64.random(in: 0...4_000_000_000, using: &random)
        let limit = Int.random(in: 1...6, using: &random)
        let due = table.takeDue(at: now, limit: limit, retryNanoseconds: Self.retry)
        let expected = model.filter { $0.value.quietUntil <= now }
        #expect(due.count == min(limit, expected.count), "seed \(seed), step \(step)")
        #expect(Set(due.map(\.id)).count == due.count, "seed \(seed), step \(step)")
        for lease in due {
          #expect(expected[lease.id]?.sighting == lease.sighting, "seed \(seed), step \(step)")
          model[lease.id]?.quietUntil = now + Self.retry
        }
      }
      #expect(table.count == model.count, "seed \(seed), step \(step)")
      #expect(
        table.count(of: .lock) == model.values.count { $0.kind == .lock },
        "seed \(seed), step \(step)")
      let earliest = model.values.map(\.quietUntil).min()
      if let earliest {
        #expect(table.nextLook.map { $0 <= earliest } ?? false, "seed \(seed), step \(step)")
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
