import LockCore
import Storage
import WireSchema

/// Writes the answer to a list while it is read from the store, so that a long list never stands in
/// memory as messages.
///
/// `@unchecked Sendable`: the store's thread fills it, then, after the reply, the event loop reads it.
final class ResourceList: RecordSink, @unchecked Sendable {
  /// The largest answer, in bytes.
  private let bytesMax: Int
  private let endpoint: Endpoint
  private let codec: Codec
  /// Gone when nobody waits for the answer any more.
  private weak let share: AnswerBudget.Share?
  private var bytes: [UInt8] = []
  private var isFull = false
  /// Why the list came to no end.
  private var failure = RPCError(.canceled, "nobody waits for the list")

  init(
    of endpoint: Endpoint, codec: Codec, share: AnswerBudget.Share,
    bytesMax: Int = AnswerBudget.connectionBytesMax
  ) {
    self.endpoint = endpoint
    self.codec = codec
    self.share = share
    self.bytesMax = bytesMax
  }

  var isWanted: Bool { share != nil }

  func append(_ records: [LockRecord]) -> Bool {
    do throws(RPCError) {
      return try add(records)
    } catch {
      failure = error
      bytes = []
      return false
    }
  }

  private func add(_ records: [LockRecord]) throws(RPCError) -> Bool {
    let resources = records.compactMap(NewestWire.Resource.init)
    var piece = try encoded(.with { $0.resources = resources })
    if codec == .json { piece = JSONList.items(of: piece, isFirst: bytes.isEmpty) }
    guard bytes.count + piece.count + JSONList.endBytesMax <= bytesMax else {
      guard records.count > 1 else {
        isFull = true
        return false
      }
      let half = records.count / 2
      guard try add(Array(records[..<half])) else { return false }
      return try add(Array(records[half...]))
    }
    guard let share else { return false }
    guard share.take(piece.count) else { throw RPCError.noRoom }
    bytes += piece
    return true
  }

  /// The whole answer; asked for once, when the store has come to the end.
  func takeBody(_ end: Outcome.ListEnd) throws(RPCError) -> [UInt8] {
    guard end != .stopped || isFull else { throw failure }
    defer { bytes = [] }
    let rest = try encoded(.with { $0.more = end != .complete })
    switch codec {
    // Messages laid end to end are one message with the fields of all.
    case .proto: return bytes + rest
    case .json: return bytes.isEmpty ? rest : bytes + JSONList.end(rest)
    }
  }

  private func encoded(_ message: NewestWire.ListResponse) throws(RPCError) -> [UInt8] {
    do throws(WireError) {
      return try endpoint.write(.list(message), codec)
    } catch {
      throw endpoint.refusal(error)
    }
  }
}

/// Joins JSON objects of which each has some items of the same list: `{"resources":[…]}`.
private enum JSONList {
  /// What follows the items takes less than this.
  static let endBytesMax = 64

  private static let head = Array("{\"resources\":[".utf8)
  private static let tailCount = "]}".utf8.count

  /// The items of `object`, with what stands before them in the whole.
  static func items(of object: [UInt8], isFirst: Bool) -> [UInt8] {
    precondition(object.starts(with: head), "a list of resources begins with its items")
    let items = object[head.count..<(object.count - tailCount)]
    return (isFirst ? head : [UInt8(ascii: ",")]) + items
  }

  /// What stands after the items, with the members of `object`.
  static func end(_ object: [UInt8]) -> [UInt8] {
    let members = object.dropFirst()
    return members.count == 1
      ? Array("]}".utf8) : Array("],".utf8) + members
  }
}
