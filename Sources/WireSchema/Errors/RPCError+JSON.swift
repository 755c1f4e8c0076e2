import SwiftProtobuf

extension RPCError {
  /// The error as the JSON object that the Connect protocol sends.
  package var json: [UInt8] {
    var text = "{\"code\":\"\(code.rawValue)\""
    if !message.isEmpty { text += ",\"message\":" + Self.quoted(message) }
    if !details.isEmpty {
      let items = details.map {
        "{\"type\":\(Self.quoted($0.type)),\"value\":\"\(Base64.encode($0.value))\"}"
      }
      text += ",\"details\":[" + items.joined(separator: ",") + "]"
    }
    return Array((text + "}").utf8)
  }

  /// Reads the error from an answer; from its status alone where the body is no Connect error.
  package init(json: [UInt8], httpStatus: Int) {
    // Struct is protobuf's own picture of any JSON object.
    guard let object = try? Google_Protobuf_Struct(jsonUTF8Bytes: json),
      let name = object.fields["code"]?.stringValue, let code = Code(rawValue: name)
    else {
      self.init(
        Code(httpStatus: httpStatus), "the peer answered with HTTP status \(httpStatus)",
        httpStatus: httpStatus)
      return
    }
    let details = (object.fields["details"]?.listValue.values ?? []).compactMap { item in
      let fields = item.structValue.fields
      return Base64.decode(fields["value"]?.stringValue ?? "").map {
        Detail(type: fields["type"]?.stringValue ?? "", value: $0)
      }
    }
    self.init(
      code, object.fields["message"]?.stringValue ?? "", details: details, httpStatus: httpStatus)
  }

  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\u{0}"..<"\u{20}":
        let hex = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}

/// Base64 as the details of an error carry it: standard alphabet, written without padding, read with
/// or without (RFC 4648, section 4).
enum Base64 {
  private static let alphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encode(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
      for digit in 0...group.count {
        text.append(alphabet[Int(bits >> UInt32(18 - 6 * digit) & 63)])
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Nil where `text` is not base64.
  static func decode(_ text: String) -> [UInt8]? {
    let digits = text.utf8.filter { $0 != UInt8(ascii: "=") }
    guard digits.count % 4 != 1 else { return nil }
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for digit in digits {
      guard let value = alphabet.firstIndex(of: digit) else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return bytes
  }
}
