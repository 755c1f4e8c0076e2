package import SwiftProtobuf

/// Wire v1: the calls of Protocol/latchkey/v1/locks.proto.
package enum V1: Sendable {
  package static let number: UInt32 = 1
  /// Errors of v1 have words only.
  package static let detailTypes: [any Message.Type] = []

  package enum Method: String, WireMethod {
    case lock = "Lock"
    case release = "Release"
    case fetch = "Fetch"
    case fetchAll = "FetchAll"
  }

  package enum Request: WireRequest {
    case lock(Latchkey_V1_LockRequest)
    case release(Latchkey_V1_ReleaseRequest)
    case fetch(Latchkey_V1_FetchRequest)
    case fetchAll(Latchkey_V1_FetchAllRequest)

    package init(
      _ method: Method, _ body: [UInt8], _ codec: Codec
    ) throws(WireError) {
      switch method {
      case .lock: self = .lock(try codec.decode(Latchkey_V1_LockRequest.self, from: body))
      case .release: self = .release(try codec.decode(Latchkey_V1_ReleaseRequest.self, from: body))
      case .fetch: self = .fetch(try codec.decode(Latchkey_V1_FetchRequest.self, from: body))
      case .fetchAll:
        self = .fetchAll(try codec.decode(Latchkey_V1_FetchAllRequest.self, from: body))
      }
    }

    package var method: Method {
      switch self {
      case .lock: .lock
      case .release: .release
      case .fetch: .fetch
      case .fetchAll: .fetchAll
      }
    }

    package func encoded(_ codec: Codec) throws(WireError) -> [UInt8] {
      switch self {
      case .lock(let message): try codec.encode(message)
      case .release(let message): try codec.encode(message)
      case .fetch(let message): try codec.encode(message)
      case .fetchAll(let message): try codec.encode(message)
      }
    }
  }

  package enum Response: WireResponse {
    package typealias Method = V1.Method

    case lock(Latchkey_V1_LockResponse)
    case release(Latchkey_V1_ReleaseResponse)
    case fetch(Latchkey_V1_FetchResponse)
    case fetchAll(Latchkey_V1_FetchAllResponse)

    package init(
      _ method: Method, _ body: [UInt8], _ codec: Codec
    ) throws(WireError) {
      switch method {
      case .lock: self = .lock(try codec.decode(Latchkey_V1_LockResponse.self, from: body))
      case .release: self = .release(try codec.decode(Latchkey_V1_ReleaseResponse.self, from: body))
      case .fetch: self = .fetch(try codec.decode(Latchkey_V1_FetchResponse.self, from: body))
      case .fetchAll:
        self = .fetchAll(try codec.decode(Latchkey_V1_FetchAllResponse.self, from: body))
      }
    }

    package func encoded(_ codec: Codec) throws(WireError) -> [UInt8] {
      switch self {
      case .lock, .release: codec.emptyMessage
      case .fetch(let message): try codec.encode(message)
      case .fetchAll(let message): try codec.encode(message)
      }
    }
  }
}
