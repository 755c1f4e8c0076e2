import LockContent

/// The bounds on what clients name and say, in bytes of UTF-8.
package enum NameLimits {
  package static let keyBytesMax = 512
  package static let ownerBytesMax = 512
  package static let valueBytesMax = 65_536
  package static let requestIDBytesMax = 64
  package static let identityBytesMax = 512
  package static let labelNameBytesMax = 128
  package static let labelTextBytesMax = 512
  /// Labels of one resource.
  package static let labelsMax = 64

  /// Whether `text` has `1...max` bytes and no NUL, which not every engine can store.
  package static func isName(_ text: String, bytesMax: Int) -> Bool {
    !text.isEmpty && isText(text, bytesMax: bytesMax)
  }

  /// Whether `name` has 1 to ``labelNameBytesMax`` ASCII letters, digits, ".", "-", "_" and "/". No two of
  /// these are the same name in another spelling, whatever compares them.
  package static func isLabelName(_ name: String) -> Bool {
    (1...labelNameBytesMax).contains(name.utf8.count)
      && name.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
          UInt8(ascii: "_"), UInt8(ascii: "/"):
          true
        default: false
        }
      }
  }

  /// Whether `text` has at most `bytesMax` bytes and no NUL.
  package static func isText(_ text: String, bytesMax: Int) -> Bool {
    var text = text
    return text.withUTF8 { $0.count <= bytesMax && !$0.contains(0) }
  }
}

extension String {
  /// Whether both are the same name. Names are compared by their bytes, in the store and here:
  /// Swift's own `==` also takes two Unicode spellings of "é" for the same.
  package func isSameName(as other: String) -> Bool { isSameText(as: other) }
}

/// A name that a dictionary finds by its bytes (see ``Swift/String/isSameName(as:)``).
package struct NameBytes: Hashable, Sendable {
  private let name: String

  package init(_ name: String) { self.name = name }

  package var text: String { name }

  package static func == (a: NameBytes, b: NameBytes) -> Bool { a.name.isSameName(as: b.name) }

  package func hash(into hasher: inout Hasher) {
    var name = name
    name.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

/// The part of the key space that belongs to the servers themselves.
package enum ReservedKeys {
  /// Clients cannot claim or release a key that starts with this, and lists leave it out.
  package static let prefix = "_latchkey/"
  /// A server keeps its own presence under this and its id.
  package static let servers = "_latchkey/servers/"

  package static func contains(_ key: String) -> Bool { key.utf8.starts(with: prefix.utf8) }
}
