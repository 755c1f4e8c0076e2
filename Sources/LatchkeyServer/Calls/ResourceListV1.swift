import LockCore
import RPC
import Storage
import WireSchema

/// Encodes the answer to FetchAll while it is read from the store, so that a long list never stands
/// in memory as messages.
///
/// `@unchecked Sendable`: the store's thread fills it, then, after the reply, the event loop reads it.
final class ResourceListV1: RecordSink, @unchecked Sendable {
  /// The largest answer, in bytes.
  static let bytesMax = 64 << 20

  private let codec: Codec
  /// Gone when nobody waits for the answer any more.
  private weak let share: AnswerBudget.Share?
  private var bytes: [UInt8] = []
  /// Why the list came to no end.
  private(set) var failure = RPCError(.canceled, "nobody waits for the list")

  init(codec: Codec, share: AnswerBudget.Share) {
    self.codec = codec
    self.share = share
  }

  func append(_ records: [LockRecord]) -> Bool {
    do throws(RPCError) {
      let resources = records.compactMap(Latchkey_V1_Resource.init)
      let page: [UInt8]
      switch codec {
      case .proto:
        // Messages laid end to end are one message with the repeated fields of all.
        page = try codec.encode(Latchkey_V1_FetchAllResponse.with { $0.resources = resources })
      case .json:
        page = try json(resources)
      }
      guard bytes.count + page.count + Self.endOfJSON.count <= Self.bytesMax else {
        throw RPCError(
          .resourceExhausted, "the list is longer than \(Self.bytesMax) bytes")
      }
      guard let share else { return false }
      guard share.take(page.count) else {
        throw RPCError.noRoom
      }
      bytes += page
      return true
    } catch {
      failure = error
      bytes = []
      return false
    }
  }

  private func json(_ resources: [Latchkey_V1_Resource]) throws(RPCError) -> [UInt8] {
    var page: [UInt8] = []
    for resource in resources {
      page += bytes.isEmpty && page.isEmpty ? Self.beginOfJSON : Self.separatorInJSON
      page += try codec.encode(resource)
    }
    return page
  }

  private static let beginOfJSON = Array("{\"resources\":[".utf8)
  private static let separatorInJSON = Array(",".utf8)
  private static let endOfJSON = Array("]}".utf8)
  private static let emptyJSON = Array("{}".utf8)

  /// The whole answer; asked for once, when everything is in.
  func takeBody() -> [UInt8] {
    defer { bytes = [] }
    if codec == .json { bytes += bytes.isEmpty ? Self.emptyJSON : Self.endOfJSON }
    return bytes
  }
}
