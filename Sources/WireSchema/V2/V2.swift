package import SwiftProtobuf

/// Wire v2: the calls of Protocol/latchkey/v2/locks.proto.
package enum V2: Sendable {
  package static let number: UInt32 = 2
  package static let detailTypes: [any Message.Type] = [Refusal.self]
  /// What a `page_size` of 0 stands for.
  package static let pageSizeDefault = 1_000

  package enum Method: String, WireMethod {
    case acquire = "Acquire"
    case renew = "Renew"
    case renewMany = "RenewMany"
    case release = "Release"
    case get = "Get"
    case list = "List"
  }

  // Indirect: handed on several times, and as large as its largest message.
  package indirect enum Request: WireRequest {
    case acquire(Latchkey_V2_AcquireRequest)
    case renew(Latchkey_V2_RenewRequest)
    case renewMany(Latchkey_V2_RenewManyRequest)
    case release(Latchkey_V2_ReleaseRequest)
    case get(Latchkey_V2_GetRequest)
    case list(Latchkey_V2_ListRequest)

    package init(
      _ method: Method, _ body: [UInt8], _ codec: Codec
    ) throws(WireError) {
      switch method {
      case .acquire: self = .acquire(try codec.decode(Latchkey_V2_AcquireRequest.self, from: body))
      case .renew: self = .renew(try codec.decode(Latchkey_V2_RenewRequest.self, from: body))
      case .renewMany:
        self = .renewMany(try codec.decode(Latchkey_V2_RenewManyRequest.self, from: body))
      case .release: self = .release(try codec.decode(Latchkey_V2_ReleaseRequest.self, from: body))
      case .get: self = .get(try codec.decode(Latchkey_V2_GetRequest.self, from: body))
      case .list: self = .list(try codec.decode(Latchkey_V2_ListRequest.self, from: body))
      }
    }

    package var method: Method {
      switch self {
      case .acquire: .acquire
      case .renew: .renew
      case .renewMany: .renewMany
      case .release: .release
      case .get: .get
      case .list: .list
      }
    }

    package func encoded(_ codec: Codec) throws(WireError) -> [UInt8] {
      switch self {
      case .acquire(let message): try codec.encode(message)
      case .renew(let message): try codec.encode(message)
      case .renewMany(let message): try codec.encode(message)
      case .release(let message): try codec.encode(message)
      case .get(let message): try codec.encode(message)
      case .list(let message): try codec.encode(message)
      }
    }
  }

  package indirect enum Response: WireResponse {
    package typealias Method = V2.Method

    case acquire(Latchkey_V2_AcquireResponse)
    case renew(Latchkey_V2_RenewResponse)
    case renewMany(Latchkey_V2_RenewManyResponse)
    case release(Latchkey_V2_ReleaseResponse)
    case get(Latchkey_V2_GetResponse)
    case list(Latchkey_V2_ListResponse)

    package init(
      _ method: Method, _ body: [UInt8], _ codec: Codec
    ) throws(WireError) {
      switch method {
      case .acquire: self = .acquire(try codec.decode(Latchkey_V2_AcquireResponse.self, from: body))
      case .renew: self = .renew(try codec.decode(Latchkey_V2_RenewResponse.self, from: body))
      case .renewMany:
        self = .renewMany(try codec.decode(Latchkey_V2_RenewManyResponse.self, from: body))
      case .release: self = .release(try codec.decode(Latchkey_V2_ReleaseResponse.self, from: body))
      case .get: self = .get(try codec.decode(Latchkey_V2_GetResponse.self, from: body))
      case .list: self = .list(try codec.decode(Latchkey_V2_ListResponse.self, from: body))
      }
    }

    package func encoded(_ codec: Codec) throws(WireError) -> [UInt8] {
      switch self {
      case .acquire(let message): try codec.encode(message)
      case .renew(let message): try codec.encode(message)
      case .renewMany(let message): try codec.encode(message)
      case .release: codec.emptyMessage
      case .get(let message): try codec.encode(message)
      case .list(let message): try codec.encode(message)
      }
    }
  }
}

/// The messages by their own names, for a core that knows one version only.
extension V2 {
  package typealias Kind = Latchkey_V2_Kind
  package typealias Resource = Latchkey_V2_Resource
  package typealias Grant = Latchkey_V2_Grant
  package typealias AcquireRequest = Latchkey_V2_AcquireRequest
  package typealias AcquireResponse = Latchkey_V2_AcquireResponse
  package typealias RenewRequest = Latchkey_V2_RenewRequest
  package typealias RenewResponse = Latchkey_V2_RenewResponse
  package typealias RenewManyRequest = Latchkey_V2_RenewManyRequest
  package typealias RenewManyResponse = Latchkey_V2_RenewManyResponse
  package typealias RenewVerdict = Latchkey_V2_RenewVerdict
  package typealias ReleaseRequest = Latchkey_V2_ReleaseRequest
  package typealias ReleaseResponse = Latchkey_V2_ReleaseResponse
  package typealias GetRequest = Latchkey_V2_GetRequest
  package typealias GetResponse = Latchkey_V2_GetResponse
  package typealias ListRequest = Latchkey_V2_ListRequest
  package typealias ListResponse = Latchkey_V2_ListResponse
  package typealias Refusal = Latchkey_V2_Refusal
}
