import ArgumentParser

/// What a request of the load does, as the one who sends it sees it.
enum Operation: Int, CaseIterable, Sendable {
  /// Acquires a key that is free.
  case claim
  /// Acquires a key that the sender holds.
  case renew
  case release
  case fetch

  var name: String {
    switch self {
    case .claim: "claim"
    case .renew: "renew"
    case .release: "release"
    case .fetch: "fetch"
    }
  }
}

/// How often each operation occurs, relative to the others.
struct OperationMix: ExpressibleByArgument, Equatable, Sendable {
  static let weightMax = 1_000_000

  var renew = 0
  /// Of claims as well: whoever claims and releases in turn does each as often as the other.
  var turnover = 0
  var fetch = 0

  /// Mostly renewals, as of programs that hold a lock for a while.
  static let `default` = OperationMix(renew: 8, turnover: 1, fetch: 0)

  init(renew: Int, turnover: Int, fetch: Int) {
    self.renew = renew
    self.turnover = turnover
    self.fetch = fetch
  }

  /// Reads "claim=1,renew=8,release=1,fetch=0". What is not named has weight 0, and release that of
  /// claim.
  init?(argument: String) {
    var weights: [String: Int] = [:]
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", omittingEmptySubsequences: false)
      guard sides.count == 2, let weight = Int(sides[1]), (0...Self.weightMax).contains(weight),
        Operation.allCases.contains(where: { $0.name == sides[0] }),
        weights.updateValue(weight, forKey: String(sides[0])) == nil
      else { return nil }
    }
    renew = weights["renew"] ?? 0
    fetch = weights["fetch"] ?? 0
    turnover = weights["claim"] ?? weights["release"] ?? 0
    guard turnover == weights["release"] ?? turnover, renew + fetch + turnover > 0 else {
      return nil
    }
  }

  var defaultValueDescription: String {
    "claim=\(turnover),renew=\(renew),release=\(turnover),fetch=\(fetch)"
  }

  /// What to do with a key that the sender holds.
  func operationOnHeld(using generator: inout some RandomNumberGenerator) -> Operation {
    var draw = Int.random(in: 0..<(renew + fetch + turnover), using: &generator)
    if draw < renew { return .renew }
    draw -= renew
    return draw < fetch ? .fetch : .release
  }
}

/// A mix of one operation, and of what it cannot do without.
enum SingleOperation: String, ExpressibleByArgument, CaseIterable, Sendable {
  case claim
  case renew
  case fetch

  var mix: OperationMix {
    switch self {
    case .claim: OperationMix(renew: 0, turnover: 1, fetch: 0)
    case .renew: OperationMix(renew: 1, turnover: 0, fetch: 0)
    case .fetch: OperationMix(renew: 0, turnover: 0, fetch: 1)
    }
  }
}

/// A small generator of numbers with a seed, so that a run can be repeated: SplitMix64 (Steele, Lea
/// and Flood, "Fast splittable pseudorandom number generators", 2014).
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
