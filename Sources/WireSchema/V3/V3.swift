import LockContent
package import SwiftProtobuf

/// Wire v3: the calls of Protocol/latchkey/v3/locks.proto.
package enum V3: Sendable {
  package static let number: UInt32 = 3
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
    case acquire(Latchkey_V3_AcquireRequest)
    case renew(Latchkey_V3_RenewRequest)
    case renewMany(Latchkey_V3_RenewManyRequest)
    case release(Latchkey_V3_ReleaseRequest)
    case get(Latchkey_V3_GetRequest)
    case list(Latchkey_V3_ListRequest)

    package init(
      _ method: Method, _ body: [UInt8], _ codec: Codec
    ) throws(WireError) {
      switch method {
      case .acquire:
        self = .acquire(
          try codec.decode(Latchkey_V3_AcquireRequest.self, from: body, place: .acquireRequest))
      case .renew:
        self = .renew(
          try codec.decode(Latchkey_V3_RenewRequest.self, from: body, place: .renewRequest))
      case .renewMany:
        self = .renewMany(
          try codec.decode(Latchkey_V3_RenewManyRequest.self, from: body, place: .renewManyRequest))
      case .release: self = .release(try codec.decode(Latchkey_V3_ReleaseRequest.self, from: body))
      case .get: self = .get(try codec.decode(Latchkey_V3_GetRequest.self, from: body))
      case .list:
        self = .list(
          try codec.decode(Latchkey_V3_ListRequest.self, from: body, place: .listRequest))
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
    package typealias Method = V3.Method

    case acquire(Latchkey_V3_AcquireResponse)
    case renew(Latchkey_V3_RenewResponse)
    case renewMany(Latchkey_V3_RenewManyResponse)
    case release(Latchkey_V3_ReleaseResponse)
    case get(Latchkey_V3_GetResponse)
    case list(Latchkey_V3_ListResponse)

    package init(
      _ method: Method, _ body: [UInt8], _ codec: Codec
    ) throws(WireError) {
      switch method {
      case .acquire: self = .acquire(try codec.decode(Latchkey_V3_AcquireResponse.self, from: body))
      case .renew: self = .renew(try codec.decode(Latchkey_V3_RenewResponse.self, from: body))
      case .renewMany:
        self = .renewMany(try codec.decode(Latchkey_V3_RenewManyResponse.self, from: body))
      case .release: self = .release(try codec.decode(Latchkey_V3_ReleaseResponse.self, from: body))
      case .get:
        self = .get(try codec.decode(Latchkey_V3_GetResponse.self, from: body, place: .getResponse))
      case .list:
        self = .list(
          try codec.decode(Latchkey_V3_ListResponse.self, from: body, place: .listResponse))
      }
    }

    package func encoded(_ codec: Codec) throws(WireError) -> [UInt8] {
      switch self {
      case .acquire(let message): try codec.encode(message)
      case .renew(let message): try codec.encode(message)
      case .renewMany(let message): try codec.encode(message)
      case .release: codec.emptyMessage
      case .get(let message):
        try codec.encode(
          Latchkey_V3_GetResponse.with {
            if message.hasResource { $0.resource = message.resource.withAttributes }
          })
      case .list(let message):
        try codec.encode(
          Latchkey_V3_ListResponse.with {
            $0.resources = message.resources.map(\.withAttributes)
            $0.more = message.more
          })
      }
    }
  }
}

extension Latchkey_V3_Resource {
  /// The value is seen as attributes only where v3 itself is written: no older version shows them.
  fileprivate var withAttributes: Latchkey_V3_Resource {
    guard let attributes = Attributes(exactly: value) else { return self }
    var resource = self
    resource.attributes = attributes.message
    return resource
  }
}

/// The messages by their own names, for a core that knows one version only.
extension V3 {
  package typealias Kind = Latchkey_V3_Kind
  package typealias Resource = Latchkey_V3_Resource
  package typealias Grant = Latchkey_V3_Grant
  package typealias AcquireRequest = Latchkey_V3_AcquireRequest
  package typealias AcquireResponse = Latchkey_V3_AcquireResponse
  package typealias RenewRequest = Latchkey_V3_RenewRequest
  package typealias RenewResponse = Latchkey_V3_RenewResponse
  package typealias RenewManyRequest = Latchkey_V3_RenewManyRequest
  package typealias RenewManyResponse = Latchkey_V3_RenewManyResponse
  package typealias RenewVerdict = Latchkey_V3_RenewVerdict
  package typealias ReleaseRequest = Latchkey_V3_ReleaseRequest
  package typealias ReleaseResponse = Latchkey_V3_ReleaseResponse
  package typealias GetRequest = Latchkey_V3_GetRequest
  package typealias GetResponse = Latchkey_V3_GetResponse
  package typealias ListRequest = Latchkey_V3_ListRequest
  package typealias ListResponse = Latchkey_V3_ListResponse
  package typealias Refusal = Latchkey_V3_Refusal
}
