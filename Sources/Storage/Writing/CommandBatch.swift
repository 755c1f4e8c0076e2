/// The commands of a turn, and who waits for each.
struct CommandBatch {
  private(set) var commands: [Command] = []
  private(set) var calls: [any StoreCall] = []

  mutating func append(_ command: Command, _ call: any StoreCall) {
    commands.append(command)
    calls.append(call)
  }

  /// As many commands as are about `keysMax` keys and have `bytesMax` bytes together, but at least one where there
  /// is any.
  func part(from start: Int, keysMax: Int, bytesMax: Int) -> Range<Int> {
    var (keys, bytes) = (0, 0)
    var end = start
    while end < commands.count {
      keys += commands[end].keyCount
      bytes += commands[end].byteCount
      if keys > keysMax || bytes > bytesMax, end > start { break }
      end += 1
    }
    return start..<end
  }
}
