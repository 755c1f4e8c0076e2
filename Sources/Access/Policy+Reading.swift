/// What is wrong with a line of a file.
package struct LineError: Error, Equatable, CustomStringConvertible {
  /// From 1 on.
  package let line: Int
  package let reason: String

  package var description: String { "line \(line): \(reason)" }
}

extension Policy {
  /// The longest file, in bytes.
  package static let bytesMax = 4 << 20
  /// The most rules.
  package static let rulesMax = 10_000

  /// - Throws: ``LineError`` for the first line that is not understood: a policy is used as a whole or not at all.
  package init(reading bytes: [UInt8]) throws(LineError) {
    var (rules, limits): ([Rule], [Limit]) = ([], [])
    var number = 0
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      number += 1
      guard let text = String(validating: line, as: UTF8.self), !line.contains(0) else {
        throw LineError(line: number, reason: "this is no text in UTF-8")
      }
      var words = Words(line, number)
      guard let first = try words.next() else { continue }
      if first.whole == "limit" {
        limits.append(try Self.limit(&words, number, text))
      } else {
        rules.append(try Self.rule(first, &words, number, text))
      }
      if let more = try words.next() {
        throw LineError(line: number, reason: "\"\(more.text)\" is one word too many")
      }
      guard rules.count + limits.count <= Self.rulesMax else {
        throw LineError(line: number, reason: "there are more than \(Self.rulesMax) rules")
      }
    }
    // As where a file was emptied by mistake, or is not written yet.
    guard !rules.isEmpty else {
      throw LineError(line: number, reason: "there is no rule, so that nobody could do anything")
    }
    self.init(rules: rules, limits: limits)
  }

  private static func limit(
    _ words: inout Words, _ line: Int, _ text: String
  ) throws(LineError) -> Limit {
    guard let who = try words.next(), let list = try words.next() else {
      throw LineError(
        line: line,
        reason: "a limit says whose, and how much: limit token:ci held=100,waiting=20,requests=50")
    }
    var limits = Limits()
    for part in list.text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let limit = Limits.Name(rawValue: String(sides[0])) else {
        let known = Limits.Name.allCases.map(\.rawValue).joined(separator: ", ")
        throw LineError(line: line, reason: "\"\(sides[0])\" is no limit; there are \(known)")
      }
      guard sides.count == 2, let number = Int(sides[1]), (0...Limits.max).contains(number) else {
        throw LineError(
          line: line,
          reason: "\(sides[0]) is a number of 0 to \(Limits.max), such as \(sides[0])=100")
      }
      guard limits[limit] == nil else {
        throw LineError(line: line, reason: "\(sides[0]) is said twice")
      }
      limits[limit] = number
    }
    let pattern = try pattern(who, line)
    guard limits.held == nil || pattern != .nobody else {
      throw LineError(
        line: line, reason: "what nobody holds who has a name is not counted: held is for names")
    }
    return Limit(who: pattern, limits: limits, line: line, text: text)
  }

  private static func pattern(
    _ who: Words.Word, _ line: Int
  ) throws(LineError) -> IdentityPattern {
    let pattern = IdentityPattern(who.whole)
    if let fault = pattern.fault { throw LineError(line: line, reason: fault) }
    return pattern
  }

  private static func rule(
    _ who: Words.Word, _ words: inout Words, _ line: Int, _ text: String
  ) throws(LineError) -> Rule {
    let pattern = try pattern(who, line)
    guard let list = try words.next() else {
      throw LineError(
        line: line,
        reason: "a rule says who, which rights, and on which keys: the rights are missing")
    }
    var rights: Set<Right> = []
    for name in list.text.split(separator: ",", omittingEmptySubsequences: false) {
      guard !name.isEmpty else {
        throw LineError(
          line: line, reason: "a right is missing; they are written with commas alone: read,hold")
      }
      guard let right = Right(rawValue: String(name)) else {
        let known = Right.allCases.map(\.rawValue).joined(separator: ", ")
        throw LineError(line: line, reason: "\"\(name)\" is no right; there are \(known)")
      }
      rights.insert(right)
    }
    let keys = try words.next().map { word throws(LineError) in try self.keys(word, line) }
    guard keys == nil || rights != [.operate] else {
      throw LineError(line: line, reason: "operate is not bound to keys: nothing follows it")
    }
    guard keys != nil || rights == [.operate] else {
      throw LineError(
        line: line,
        reason: "on which keys? Write jobs/* for all that begin with jobs/, or * for all there are")
    }
    return Rule(who: pattern, rights: rights, keys: keys, line: line, text: text)
  }

  private static func keys(_ word: Words.Word, _ line: Int) throws(LineError) -> KeyPattern {
    if word.isPrefix, word.isQuoted || !word.text.contains("*") { return .prefix(word.text) }
    guard !word.text.isEmpty else { throw LineError(line: line, reason: "no key is empty") }
    guard !word.endsWithStar else {
      let beginning = word.text.dropLast()
      throw LineError(
        line: line,
        reason:
          "in quotation marks a * is part of a key: write \"\(beginning)\"* for all that begin so, or "
          + "\"\(beginning)\\u002a\" for this one"
      )
    }
    guard word.isQuoted || !word.text.contains("*") else {
      throw LineError(
        line: line,
        reason:
          "a * stands at the end of a key, for all that begin so; where it is part of a key, write \"\(word.text)\"\(word.isPrefix ? "*" : "")"
      )
    }
    return .name(word.text)
  }
}

/// The words of a line, by bytes: what a person sees as one character may have several.
private struct Words {
  struct Word {
    /// What stood between quotation marks, or the word without a "*" at its end.
    let text: String
    /// Whether a "*" is behind it.
    let isPrefix: Bool
    let isQuoted: Bool
    /// Whether that is the last one between quotation marks, as it stands there.
    var endsWithStar = false
    /// With it.
    var whole: String { isPrefix ? text + "*" : text }
  }

  private var rest: ArraySlice<UInt8>
  private let line: Int

  init(_ bytes: ArraySlice<UInt8>, _ line: Int) {
    rest = bytes
    self.line = line
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }

  /// Nil at the end of the line, or where a comment begins.
  mutating func next() throws(LineError) -> Word? {
    rest = rest.drop(while: Self.isBlank)
    guard let first = rest.first, first != UInt8(ascii: "#") else { return nil }
    if first == UInt8(ascii: "\"") { return try quoted() }
    let word = rest.prefix { !Self.isBlank($0) }
    rest = rest.dropFirst(word.count)
    guard !word.contains(UInt8(ascii: "\"")) else {
      throw LineError(
        line: line, reason: "a quotation mark stands at the beginning of a word or not at all")
    }
    let isPrefix = word.last == UInt8(ascii: "*")
    return Word(
      text: String(decoding: isPrefix ? word.dropLast() : word, as: UTF8.self),
      isPrefix: isPrefix, isQuoted: false)
  }

  private mutating func quoted() throws(LineError) -> Word {
    rest = rest.dropFirst()
    var text: [UInt8] = []
    var latest: UInt8?
    while let byte = rest.popFirst() {
      defer { latest = byte }
      switch byte {
      case UInt8(ascii: "\\"): text += try escaped()
      case UInt8(ascii: "\""):
        let isPrefix = rest.first == UInt8(ascii: "*")
        if isPrefix { rest = rest.dropFirst() }
        guard rest.first.map(Self.isBlank) ?? true else {
          throw LineError(line: line, reason: "a blank is missing behind a quotation mark")
        }
        return Word(
          text: String(decoding: text, as: UTF8.self), isPrefix: isPrefix, isQuoted: true,
          endsWithStar: !isPrefix && latest == UInt8(ascii: "*"))
      default: text.append(byte)
      }
    }
    throw LineError(line: line, reason: "a quotation mark has no other one")
  }

  private mutating func escaped() throws(LineError) -> [UInt8] {
    switch rest.popFirst() {
    case let byte? where byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\"): return [byte]
    case UInt8(ascii: "t"): return [UInt8(ascii: "\t")]
    case UInt8(ascii: "u"):
      let digits = String(decoding: rest.prefix(4), as: UTF8.self)
      rest = rest.dropFirst(4)
      if digits.utf8.count == 4, let number = UInt32(digits, radix: 16), number != 0,
        let scalar = Unicode.Scalar(number)
      {
        return Array(String(Character(scalar)).utf8)
      }
      fallthrough
    default:
      throw LineError(
        line: line, reason: "behind \\ stands one of \" \\ t, or u with four digits")
    }
  }
}
