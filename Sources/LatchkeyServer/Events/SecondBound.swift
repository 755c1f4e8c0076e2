/// Lets so many through in a second of what peers can bring about at will, and counts the others.
struct SecondBound {
  private var second = 0
  private var count: Int64 = 0
  private var leftOut: Int64 = 0

  /// - Returns: How many were left out before one that gets through; nil for one that is left out.
  mutating func take(at second: Int, max: Int64) -> Int64? {
    if self.second != second { (self.second, count) = (second, 0) }
    count += 1
    guard count <= max else {
      leftOut += 1
      return nil
    }
    defer { leftOut = 0 }
    return leftOut
  }
}
