@testable import LatchkeyServer
import LockCore
import WireSchema

func fuzzJSON(_ input: UnsafeRawBufferPointer) { fuzzMessage(input, .json) }
func fuzzProto(_ input: UnsafeRawBufferPointer) { fuzzMessage(input, .proto) }

/// The first byte says which call of which version it is. What is read is lifted to the newest version
/// and judged as the server judges it.
private func fuzzMessage(_ input: UnsafeRawBufferPointer, _ codec: Codec) {
  guard let first = input.first else { return }
  let endpoint = Endpoint.all[Int(first) % Endpoint.all.count]
  do {
    let request = try endpoint.read(Array(input.dropFirst()), codec)
    _ = try Locks.work(request, at: MonotonicTime(nanoseconds: 0))
  } catch {
    _ = endpoint.refusal(error).json
  }
}

func fuzzHello(_ input: UnsafeRawBufferPointer) {
  guard let hello = HelloFrame.decode(Array(input)) else { return }
  _ = HelloFrame.decode(HelloFrame.encode(hello, grease: 0))
}
