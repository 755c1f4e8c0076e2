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
  private var bytes: [UInt8]
  private(set) var failure = RPCError(
    .resourceExhausted, "the list is longer than \(ResourceListV1.bytesMax) bytes")

  init(codec: Codec) {
    self.codec = codec
    bytes = []
  }

  func append(_ records: [LockRecord]) -> Bool {
    let resources = records.compactMap(Latchkey_V1_Resource.init)
    do {
      switch codec {
      case .proto:
        // Messages laid end to end are one message with the repeated fields of all.
        bytes += try codec.encode(Latchkey_V1_FetchAllResponse.with { $0.resources = resources })
      case .json:
        for resource in resources {
          bytes += Array((bytes.isEmpty ? "{\"resources\":[" : ",").utf8)
          bytes += try codec.encode(resource)
        }
      }
    } catch {
      failure = error
      return false
    }
    return bytes.count <= Self.bytesMax
  }

  /// The whole answer; asked for once, when everything is in.
  func takeBody() -> [UInt8] {
    defer { bytes = [] }
    switch codec {
    case .proto: break
    case .json: bytes += Array((bytes.isEmpty ? "{}" : "]}").utf8)
    }
    return bytes
  }
}
