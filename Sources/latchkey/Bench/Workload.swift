import LatchkeyClient
import SwiftProtobuf
import WireSchema

/// What a load consists of, and the requests it sends.
struct Workload: Sendable {
  /// What the requests are written in.
  var wire: any WireVersion.Type = NewestWire.self
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

  func call(_ operation: Operation, key: Int, slot: Int) -> EncodedCall {
    do {
      return try wire.encode(
        request(operation, key: "bench/\(run)/\(key)", owner: "\(run)/\(slot)"))
    } catch {
      preconditionFailure("every wire version has these requests: \(error)")
    }
  }

  private func request(_ operation: Operation, key: String, owner: String) -> NewestWire.Request {
    switch operation {
    case .claim, .renew:
      var request = NewestWire.AcquireRequest()
      request.key = key
      request.kind = .lock
      request.owner = owner
      request.value = value
      request.lease = Google_Protobuf_Duration(seconds: leaseSeconds)
      return .acquire(request)
    case .release:
      var request = NewestWire.ReleaseRequest()
      request.key = key
      request.owner = owner
      return .release(request)
    case .fetch:
      var request = NewestWire.GetRequest()
      request.key = key
      return .get(request)
    }
  }
}
