package import LockContent

extension Attributes {
  /// Attributes of every type, up to four levels deep.
  package static func random(using generator: inout some RandomNumberGenerator) -> Attributes {
    random(levels: 4, using: &generator)
  }

  private static func random(
    levels: Int, using generator: inout some RandomNumberGenerator
  ) -> Attributes {
    var attributes = Attributes()
    for _ in 0..<Int.random(in: 0...4, using: &generator) {
      attributes[names.randomElement(using: &generator)!] = .random(
        levels: levels - 1, using: &generator)
    }
    return attributes
  }

  private static let names = [
    "", "a", "zone", "größe", "🔒", "with \"quotes\"", "\n", "A", "b", "c",
  ]
}

extension AttributeValue {
  fileprivate static func random(
    levels: Int, using generator: inout some RandomNumberGenerator
  ) -> AttributeValue {
    switch Int.random(in: 0..<(levels > 0 ? 8 : 6), using: &generator) {
    case 0: return .null
    case 1: return .boolean(.random(using: &generator))
    case 2: return .number(Double(Int.random(in: -1_000...1_000, using: &generator)))
    case 3:
      // Any bits are a double; some are no number.
      let number = Double(bitPattern: generator.next())
      return .number(number.isFinite ? number : 0.1)
    case 4: return .number(Double(Int.random(in: .min ... .max, using: &generator)))
    case 5: return .string(["", "z1", "ü", "🔒", "\u{1}\"\\"].randomElement(using: &generator)!)
    case 6:
      return .list(
        (0..<Int.random(in: 0...3, using: &generator)).map { _ in
          .random(levels: levels - 1, using: &generator)
        })
    default:
      var nested = Attributes()
      for name in ["x", "y"] where Bool.random(using: &generator) {
        nested[name] = .random(levels: levels - 1, using: &generator)
      }
      return .nested(nested)
    }
  }
}
