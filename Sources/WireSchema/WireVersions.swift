/// A wire version: the number of a folder in Protocol/, and what it names.
package struct WireVersion: Sendable {
  package let number: UInt32
  /// The service as it stands in a path.
  package let service: String
  /// The service's methods, in the order of the specification.
  package let methods: [String]
}

/// The list from which routing, negotiation, metrics and tests take what versions there are.
package enum WireVersions {
  package static let all: [WireVersion] = [
    WireVersion(
      number: 1, service: "latchkey.v1.Locks", methods: ["Lock", "Release", "Fetch", "FetchAll"])
  ]

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

/// The release of this software.
package enum Release {
  package static let version = "0.1.0"
}
