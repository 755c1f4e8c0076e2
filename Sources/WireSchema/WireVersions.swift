/// The version that the core of server and client knows.
package typealias NewestWire = V2

/// The list from which routing, negotiation, metrics and tests take what versions there are: without
/// gaps, the oldest first.
package enum WireVersions {
  package static let all: [any WireVersion.Type] = {
    var list = WireVersionList()
    visitAll(&list)
    return list.versions
  }()

  /// Shows each version to `visitor` by its own type, so that what is done with it for every request is
  /// compiled for that version.
  @inlinable
  package static func visitAll(_ visitor: inout some WireVersionVisitor) {
    visitor.visit(V1.self)
    visitor.visit(V2.self)
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

/// Does something with each wire version.
package protocol WireVersionVisitor {
  mutating func visit<Version: WireVersion>(_: Version.Type)
}

private struct WireVersionList: WireVersionVisitor {
  var versions: [any WireVersion.Type] = []

  mutating func visit<Version: WireVersion>(_: Version.Type) { versions.append(Version.self) }
}

extension NewestWire: WireVersion {
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
  package static let version = "0.2.0"
}
