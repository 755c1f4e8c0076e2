/// A JSON value (RFC 8259) whose members keep their order.
enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case text(String)
  case list([JSON])
  case object([Member])

  struct Member: Equatable, Sendable {
    var name: String
    var value: JSON

    init(_ name: String, _ value: JSON) {
      self.name = name
      self.value = value
    }
  }

  static func integer(_ value: some BinaryInteger) -> JSON { .integer(Int64(clamping: value)) }

  /// Null where it is not known.
  static func integer(_ value: (some BinaryInteger)?) -> JSON {
    value.map { JSON.integer($0) } ?? .null
  }

  /// Null where there is none.
  static func text(_ value: String?) -> JSON { value.map { JSON.text($0) } ?? .null }

  /// Null where nothing is said: servers leave out what is empty.
  static func said(_ text: String) -> JSON { .text(text.isEmpty ? nil : text) }

  /// Null where it is not known.
  static func number(_ value: Double?) -> JSON { value.map { JSON.number($0) } ?? .null }

  /// In seconds, exact to the millisecond; null where it is not known.
  static func seconds(_ duration: Duration?) -> JSON {
    .number(
      duration.map {
        let (seconds, attoseconds) = $0.components
        return Double(seconds * 1_000 + attoseconds / 1_000_000_000_000_000) / 1_000
      })
  }

  static func members(_ members: (name: String, value: JSON)...) -> JSON {
    .object(members.map { Member($0.name, $0.value) })
  }

  /// The value over several lines, for people and programs alike.
  var text: String {
    var text = ""
    write(to: &text, indentation: "")
    return text
  }

  private func write(to text: inout String, indentation: String) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    // JSON has no word for what is not finite.
    case .number(let value): text += value.isFinite ? "\(value)" : "null"
    case .text(let value): Self.quote(value, to: &text)
    case .list(let values):
      Self.write(values, between: ("[", "]"), to: &text, indentation) { value, text, inner in
        value.write(to: &text, indentation: inner)
      }
    case .object(let members):
      Self.write(members, between: ("{", "}"), to: &text, indentation) { member, text, inner in
        Self.quote(member.name, to: &text)
        text += ": "
        member.value.write(to: &text, indentation: inner)
      }
    }
  }

  private static func write<Item>(
    _ items: [Item], between brackets: (open: String, close: String), to text: inout String,
    _ indentation: String, _ writeItem: (Item, inout String, String) -> Void
  ) {
    guard !items.isEmpty else { return text += brackets.open + brackets.close }
    let inner = indentation + "  "
    text += brackets.open
    for (index, item) in items.enumerated() {
      text += (index == 0 ? "\n" : ",\n") + inner
      writeItem(item, &text, inner)
    }
    text += "\n" + indentation + brackets.close
  }

  private static func quote(_ value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\t": text += "\\t"
      // More than JSON asks for: it is shown on terminals too. None of them has more digits.
      case _ where scalar.isControl: text += "\\u" + hexadecimal(scalar, digits: 4)
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

/// The scalar's number, at least `digits` long.
func hexadecimal(_ scalar: Unicode.Scalar, digits: Int) -> String {
  let text = String(scalar.value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
