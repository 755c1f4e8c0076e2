/// What a holder says of itself as named, typed values.
///
/// A text that is a JSON object and its attributes are two views of one thing: ``init(exactly:)`` sees
/// the attributes in a text, ``json`` writes the text of attributes.
///
/// ```swift
/// let attributes: Attributes = ["zone": "z1", "cores": 8, "limits": ["memory": "2 GiB"]]
/// ```
public struct Attributes: Equatable, Sendable {
  /// How deep values may be nested; the attributes themselves are the first level.
  public static let levelsMax = 16

  /// By their names: UTF-8 without NUL, with at most 30 combining marks in a row.
  public var values: [String: AttributeValue]

  /// Makes attributes of named values.
  public init(_ values: [String: AttributeValue] = [:]) { self.values = values }

  /// Names are equal where their bytes are, and so are strings.
  public static func == (a: Attributes, b: Attributes) -> Bool {
    a.values.count == b.values.count
      && a.values.allSatisfy { b.value(ofExactly: $0.key) == $0.value }
  }

  /// The value of the name that has the same bytes.
  package func value(ofExactly name: String) -> AttributeValue? {
    guard let index = values.index(forKey: name), values[index].key.isSameText(as: name) else {
      return nil
    }
    return values[index].value
  }

  /// The value of a name; nil where there is none.
  public subscript(name: String) -> AttributeValue? {
    get { values[name] }
    set { values[name] = newValue }
  }
}

/// The value of an attribute.
public indirect enum AttributeValue: Equatable, Sendable {
  case null
  case boolean(Bool)
  /// Finite.
  case number(Double)
  /// UTF-8 without NUL.
  case string(String)
  case list([AttributeValue])
  case nested(Attributes)
}

extension AttributeValue {
  /// Strings are equal where their bytes are.
  public static func == (a: AttributeValue, b: AttributeValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.boolean(let a), .boolean(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): a.isSameText(as: b)
    case (.list(let a), .list(let b)): a == b
    case (.nested(let a), .nested(let b)): a == b
    default: false
    }
  }
}

extension Attributes: ExpressibleByDictionaryLiteral {
  /// Of a name that comes twice the last one counts.
  public init(dictionaryLiteral elements: (String, AttributeValue)...) {
    values = Dictionary(elements) { _, last in last }
  }
}

extension AttributeValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  /// A boolean.
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  /// A number.
  public init(integerLiteral value: Int) { self = .number(Double(value)) }
  /// A number.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A list.
  public init(arrayLiteral elements: AttributeValue...) { self = .list(elements) }
  /// Nested attributes.
  public init(dictionaryLiteral elements: (String, AttributeValue)...) {
    self = .nested(Attributes(Dictionary(elements) { _, last in last }))
  }
}

extension Attributes {
  /// Whether a text can show them: finite numbers, no NUL, at most ``levelsMax`` levels, names that are
  /// ``StreamSafe``.
  package var isSound: Bool { Self.isSound(.nested(self), level: 1) }

  private static func isSound(_ value: AttributeValue, level: Int) -> Bool {
    switch value {
    case .null, .boolean: true
    case .number(let number): number.isFinite
    case .string(let text): !text.utf8.contains(0)
    case .list(let items):
      level <= levelsMax && items.allSatisfy { isSound($0, level: level + 1) }
    case .nested(let attributes):
      level <= levelsMax
        && attributes.values.allSatisfy {
          !$0.key.utf8.contains(0) && $0.key.isStreamSafe
            && isSound($0.value, level: level + 1)
        }
    }
  }
}
