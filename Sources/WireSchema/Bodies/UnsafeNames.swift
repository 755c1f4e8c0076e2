import LockContent

/// Names of attributes and labels in the body of a call that would cost too much to look up
/// (``LockContent/StreamSafe``).
///
/// Reading a message makes dictionaries of its maps, which hash every name. So such names are taken
/// out of its bytes first: each is replaced by one with a NUL, which neither attributes nor labels
/// may have. It is then refused like any other bad name, and when it is its turn. So are lengths of
/// time in JSON, which SwiftProtobuf reads character by character.
enum UnsafeNames {
  /// - Parameter json: With its characters written out (``EscapedCharacters``).
  static func replaced(inJSON json: [UInt8]) -> [UInt8] {
    guard !json.withUnsafeBufferPointer(StreamSafe.holds) else { return json }
    var pass = JSONPass(json)
    pass.run()
    return pass.json
  }

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
