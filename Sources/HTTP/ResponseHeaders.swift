import CNghttp2

/// A status and header fields of an answer. Those that are sent often are built once and shared by
/// all event loops: nghttp2 gets pointers into memory that lives as long as this object, and copies
/// nothing.
package final class ResponseHeaders: @unchecked Sendable {
  // Sendable: everything is set before `init` returns and never written again; nghttp2 only reads
  // through the pointers, which are freed when the last reference, and so the last reader, is gone.

  /// The HTTP status, 200 to 599.
  package let status: Int
  /// The fields, names in lower case, without pseudo headers.
  package let fields: [(String, String)]

  private let text: UnsafeMutableBufferPointer<UInt8>
  private let table: UnsafeMutableBufferPointer<nghttp2_nv>

  /// - Parameter fields: Names are turned into lower case. Names and values must be valid in
  ///   RFC 9113 8.2: they are the program's own, so anything else is a bug and stops it.
  package init(status: Int, fields: [(String, String)]) {
    precondition((200...599).contains(status), "not a final HTTP status: \(status)")
    self.status = status
    self.fields = fields.map { ($0.lowercased(), $1) }
    let all = [(":status", String(status))] + self.fields
    text = .allocate(capacity: all.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count })
    table = .allocate(capacity: all.count)
    var used = 0
    for (index, (name, value)) in all.enumerated() {
      precondition(index == 0 || isFieldName(name), "not a header field's name: \(name)")
      precondition(isFieldValue(value), "not a header field's value, of \(name)")
      let nameStart = copy(name.utf8, to: &used)
      let valueStart = copy(value.utf8, to: &used)
      (table.baseAddress! + index).initialize(
        to: nghttp2_nv(
          name: nameStart, value: valueStart,
          namelen: name.utf8.count, valuelen: value.utf8.count,
          flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue)
            | UInt8(NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)))
    }
  }

  deinit {
    text.deallocate()
    table.deallocate()
  }

  /// What `nghttp2_submit_response` takes; valid as long as this object.
  var nameValues: UnsafeBufferPointer<nghttp2_nv> { UnsafeBufferPointer(table) }

  private func copy(_ bytes: String.UTF8View, to used: inout Int) -> UnsafeMutablePointer<UInt8> {
    let start = text.baseAddress! + used
    for byte in bytes {
      text.initializeElement(at: used, to: byte)
      used += 1
    }
    return start
  }
}

/// Whether `name` is a token (RFC 9110 5.6.2) without upper case letters.
func isFieldName(_ name: String) -> Bool {
  !name.isEmpty
    && name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
    }
}

/// Whether `value` is a field value of RFC 9113 8.2.1: no NUL, CR or LF, no blank at either end.
func isFieldValue(_ value: String) -> Bool {
  let blanks: [UInt8] = [UInt8(ascii: " "), UInt8(ascii: "\t")]
  if let first = value.utf8.first, blanks.contains(first) { return false }
  if let last = value.utf8.last, blanks.contains(last) { return false }
  return value.utf8.allSatisfy { ($0 >= 0x20 && $0 != 0x7f) || $0 == UInt8(ascii: "\t") }
}
