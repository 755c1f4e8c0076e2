/// The first version there was. All others follow from it: each names its successor in its lens.
package typealias OldestWire = V1
/// The version that the core of server and client knows.
package typealias NewestWire = V3

/// What versions there are: routing, negotiation, metrics and tests take it from here.
package enum WireVersions {
  /// Without gaps, the oldest first.
  package static let all = versions(from: OldestWire.self)

  private static func versions<Version: WireVersion>(
    from version: Version.Type
  ) -> [any WireVersion.Type] {
    [version] + (Version.isNewest ? [] : versions(from: Version.Next.self))
  }

  /// What this release speaks.
  package static let spoken = WireRange(oldest: all.first!.number, newest: all.last!.number)!

  /// The version in a path such as "/latchkey.v7.Locks/Lock", in decimal, whether it is spoken here
  /// or not, and however large; nil where the path is no call of Latchkey's in any version. A later
  /// version may have other services.
  package static func version(inPath path: String) -> Substring? {
    let prefix = "/latchkey.v"
    guard path.hasPrefix(prefix) else { return nil }
    let rest = path.dropFirst(prefix.count)
    let digits = rest.prefix { $0.isASCII && $0.isWholeNumber }
    guard !digits.isEmpty, !digits.hasPrefix("0") else { return nil }
    let service = rest.dropFirst(digits.count)
    guard service.first == ".", let slash = service.firstIndex(of: "/") else { return nil }
    let name = service[..<slash].dropFirst()
    guard let first = name.first, first.isASCII, first.isLetter,
      name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
    else { return nil }
    return digits
  }
}

extension NewestWire: WireVersion {
  package typealias Next = NewestWire

  package static func liftToNewest(_ request: Request) -> Request { request }
  package static func projectFromNewest(_ response: Response) -> Response { response }
  package static func projectFromNewest(_ error: WireError) -> WireError { error }
  package static func lowerFromNewest(_ request: Request) -> Request { request }
  package static func raiseToNewest(_ response: Response, of request: Request) -> Response {
    response
  }
  package static func raiseToNewest(_ error: WireError) -> WireError { error }
}

/// The release of this software.
package enum Release {
  package static let version = "0.6.0"
}
