import SwiftProtobuf
import WireSchema

/// What a load consists of, and the requests it sends: those of wire v1, which every server speaks
/// that this release can meet.
struct Workload: Sendable {
  var mix = OperationMix.default
  var connections = 1
  /// Requests under way on each connection.
  var streams = 1
  /// Requests a second of the whole load; nil for as many as are answered.
  var rate: Double?
  /// Keys of the whole load.
  var keys = 1
  var leaseSeconds: Int64 = 60
  var value = ""
  var seed: UInt64 = 0
  /// Sets the keys and owners of this run apart from all others.
  var run: String

  init(run: String) { self.run = run }

  var slots: Int { connections * streams }

  /// The keys of a slot, as numbers below `keys`. No two slots share one while there are enough.
  func keys(ofSlot slot: Int) -> StrideTo<Int> {
    slot < keys
      ? stride(from: slot, to: keys, by: slots)
      : stride(from: slot % keys, to: slot % keys + 1, by: 1)
  }

  func path(_ operation: Operation) -> String {
    switch operation {
    case .claim, .renew: "/latchkey.v1.Locks/Lock"
    case .release: "/latchkey.v1.Locks/Release"
    case .fetch: "/latchkey.v1.Locks/Fetch"
    }
  }

  func body(_ operation: Operation, key: Int, slot: Int) -> [UInt8] {
    var resource = Latchkey_V1_Resource()
    resource.key = "bench/\(run)/\(key)"
    if operation == .fetch {
      var request = Latchkey_V1_FetchRequest()
      request.key = resource.key
      return Self.bytes(request)
    }
    resource.owner = "\(run)/\(slot)"
    if operation == .release {
      var request = Latchkey_V1_ReleaseRequest()
      request.resource = resource
      return Self.bytes(request)
    }
    resource.typeCode = .lock
    resource.value = value
    var request = Latchkey_V1_LockRequest()
    request.resource = resource
    request.ttlInSeconds = leaseSeconds
    return Self.bytes(request)
  }

  private static func bytes(_ message: some Message) -> [UInt8] {
    do {
      return try message.serializedBytes()
    } catch {
      preconditionFailure("a message without required fields cannot fail to encode: \(error)")
    }
  }
}
