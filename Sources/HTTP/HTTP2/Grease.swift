/// Sends what no peer knows, at random, so that no peer comes to depend on its absence: unknown
/// settings and unknown frames (draft-bishop-httpbis-grease). Peers must ignore both (RFC 9113 4.1
/// and 6.5.2).
package struct Grease: Sendable {
  private let source: (@Sendable () -> UInt64)?

  /// - Parameter source: Gives random bits. A seeded one makes the traffic repeatable.
  package init(source: @escaping @Sendable () -> UInt64) { self.source = source }

  private init() { source = nil }

  /// No grease at all.
  package static let none = Grease()

  /// Grease from the system's source of randomness.
  package static let system = Grease {
    var generator = SystemRandomNumberGenerator()
    return generator.next()
  }

  var isOn: Bool { source != nil }

  /// Up to two settings with ids of the form `0x?A?A`.
  func settings() -> [(id: UInt16, value: UInt32)] {
    guard let source else { return [] }
    return (0..<source() % 3).map { _ in
      let bits = source()
      let id = UInt16(bits & 0xF) << 12 | 0x0A00 | UInt16(bits >> 4 & 0xF) << 4 | 0x000A
      return (id, UInt32(truncatingIfNeeded: bits >> 32))
    }
  }

  /// Every other time an extension frame, of a type `0x0B + 0x1F * N`, with 0 to 31 bytes.
  func frame() -> (type: UInt8, payload: [UInt8])? {
    guard let source else { return nil }
    let bits = source()
    guard bits & 1 == 0 else { return nil }
    let type = UInt8(0x0B + 0x1F * (bits >> 1 & 7))
    return (type, (0..<bits >> 8 & 31).map { _ in UInt8(truncatingIfNeeded: source()) })
  }

  /// After how many more writes another frame is due: 1 to 1,024.
  func writesUntilNextFrame() -> Int {
    guard let source else { return .max }
    return 1 + Int(source() & 1_023)
  }
}
