import LockContent

/// Names of attributes and labels in the body of a call that would cost too much to look up
/// (``LockContent/StreamSafe``).
///
/// Reading a message makes dictionaries of its maps, which hash every name. So such names are taken
/// out of its bytes first: each is replaced by one with a NUL, which neither attributes nor labels
/// may have. It is then refused like any other bad name, and when it is its turn.
enum UnsafeNames {
  /// - Parameter json: Without escapes of characters beyond ASCII (``EscapedCharacters``).
  static func replaced(inJSON json: [UInt8]) -> [UInt8] {
    guard !json.withUnsafeBufferPointer(StreamSafe.holds) else { return json }
    var json = json
    var count = 0
    var index = 0
    while let start = json[index...].firstIndex(of: quote) {
      guard let end = end(ofStringAt: start, in: json) else { return json }
      index = end + 1
      // A string before a colon is a name.
      let next = json[index...].first { !blanks.contains($0) }
      guard next == UInt8(ascii: ":") else { continue }
      let name = (start + 1)..<end
      guard !json[name].withUnsafeBufferPointer(StreamSafe.holds) else { continue }
      // Of the same length, and no two are the same.
      count += 1
      let replacement = Array("\\u0000\(count)".utf8)
      for (offset, place) in name.enumerated() {
        json[place] = offset < replacement.count ? replacement[offset] : UInt8(ascii: " ")
      }
    }
    return json
  }

  /// Where the string that begins at `start` has its closing quote.
  private static func end(ofStringAt start: Int, in json: [UInt8]) -> Int? {
    var index = start + 1
    while index < json.count, json[index] != quote {
      index += json[index] == UInt8(ascii: "\\") ? 2 : 1
    }
    return index < json.count ? index : nil
  }

  private static let quote = UInt8(ascii: "\"")
  private static let blanks = Array(" \t\r\n".utf8)

  /// - Parameter place: What the body is.
  /// - Throws: ``MessageFault`` where the body is not protobuf, or merges too often.
  static func replaced(
    inProtobuf body: [UInt8], of place: MessagePlace
  ) throws(MessageFault) -> [UInt8] {
    let isSafe = body.withUnsafeBufferPointer(StreamSafe.holds)
    var walk = MessageWalk(body, place, findsNames: !isSafe)
    try walk.run()
    guard !walk.unsafeNames.isEmpty else { return body }
    var body = body
    for name in walk.unsafeNames {
      for index in name { body[index] = 0 }
    }
    return body
  }
}
