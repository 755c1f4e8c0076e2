package import WireSchema

/// How the calls are put in one wire version.
///
/// A new version is one more of these and one more entry in ``WireDialects/all``. What a version
/// cannot carry, it refuses by name with ``LatchkeyError/Code/requiresNewerServer``.
package protocol WireDialect: Sendable {
  static var number: UInt32 { get }
  static func encode(_ call: LockCall) throws(LatchkeyError) -> EncodedCall
  /// Reads the body of a successful answer to `call`.
  static func decode(_ body: [UInt8], of call: LockCall) throws(LatchkeyError) -> LockAnswer
}

/// A call ready to be sent.
package struct EncodedCall: Sendable, Equatable {
  package var path: String
  package var body: [UInt8]

  package init(path: String, body: [UInt8]) {
    self.path = path
    self.body = body
  }
}

package enum WireDialects {
  /// One for each of `WireVersions.all`, in their order.
  package static let all: [any WireDialect.Type] = [V1Dialect.self]
}

extension [any WireDialect.Type] {
  /// The range of these versions.
  package var range: WireRange {
    guard let first, let last, let range = WireRange(oldest: first.number, newest: last.number)
    else { preconditionFailure("no wire versions, or not in order") }
    return range
  }

  func dialect(of number: UInt32) -> any WireDialect.Type {
    guard let dialect = first(where: { $0.number == number }) else {
      preconditionFailure("wire version \(number) is within the range but has no dialect")
    }
    return dialect
  }
}
