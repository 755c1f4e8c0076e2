import ArgumentParser
import LatchkeyClient

/// What a holder says of itself, by `claim`, `lock` and `presence`.
struct ContentOptions: ParsableArguments {
  @Option(help: "What others shall know of the holder.")
  var value = ""

  @Option(
    help: ArgumentHelp(
      """
      The same as a named, typed value, in place of --value; may be given several times. The value is \
      JSON, or else a string. What looks like a number is one, which a double must hold exactly; a \
      string of digits has quotes of its own: 'zip="01234"'.
      """, valueName: "name=value"), transform: AttributeOption.init(argument:))
  var attribute: [AttributeOption] = []

  @Option(
    help: ArgumentHelp(
      """
      Sticks a label on it, or takes one off where the text is empty; may be given several times. Needs \
      servers of 0.3 or newer.
      """,
      valueName: "name=text"), transform: LabelOption.init(argument:))
  var label: [LabelOption] = []

  /// The value, or that of the attributes.
  var text: String { attributes?.json ?? value }
  /// Nil where there are none.
  var attributes: Attributes? { attribute.isEmpty ? nil : AttributeOption.attributes(attribute) }
  var labels: [String: String] { LabelOption.labels(label) }

  func validate() throws {
    guard value.isEmpty || attribute.isEmpty else {
      throw ValidationError("Give --value or --attribute, not both.")
    }
    try Self.checkOnce("--attribute", attribute.map(\.name))
    try Self.checkOnce("--label", label.map(\.name))
  }

  /// Refuses what is said twice: one of the two would count, and nobody could tell which.
  static func checkOnce(_ option: String, _ names: [String]) throws {
    var seen: Set<String> = []
    for name in names where !seen.insert(name).inserted {
      throw ValidationError("\(option) \(name) is there twice.")
    }
  }
}

/// `name=value`, where the value is JSON or else a string.
struct AttributeOption: Equatable {
  let name: String
  let value: AttributeValue

  init(argument: String) throws {
    guard let (name, text) = argument.splitAtEqualsSign else {
      throw ValidationError("Write name=value.")
    }
    self.name = name
    // As the value of an object's only member, JSON is read by the rules of attributes.
    let read = Attributes(exactly: "{\"\":\(text)}")
    let json = read.flatMap { $0.values.count == 1 ? $0[""] : nil }
    // A number that cannot be held exactly is not made a string behind anybody's back.
    let isNumber = !text.isEmpty && text.allSatisfy { "0123456789+-.eE".contains($0) }
    guard json != nil || !isNumber || Double(text) == nil else {
      throw ValidationError(
        "\(text) is not a number of JSON, or not one that a double holds exactly. "
          + "A string has quotes of its own: '\(name)=\"\(text)\"'.")
    }
    value = json ?? .string(text)
  }

  static func attributes(_ options: [AttributeOption]) -> Attributes {
    Attributes(Dictionary(options.map { ($0.name, $0.value) }) { _, last in last })
  }
}

/// `name=text`.
struct LabelOption: Equatable {
  let name: String
  let text: String

  init(argument: String) throws {
    guard let (name, text) = argument.splitAtEqualsSign else {
      throw ValidationError("Write name=text.")
    }
    (self.name, self.text) = (name, text)
  }

  static func labels(_ options: [LabelOption]) -> [String: String] {
    Dictionary(options.map { ($0.name, $0.text) }) { _, last in last }
  }
}

extension String {
  fileprivate var splitAtEqualsSign: (String, String)? {
    guard let sign = firstIndex(of: "="), sign != startIndex else { return nil }
    return (String(self[..<sign]), String(self[index(after: sign)...]))
  }
}
