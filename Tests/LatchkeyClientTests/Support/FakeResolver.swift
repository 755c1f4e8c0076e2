import LatchkeyClient
import NIOCore
import Exclusion

/// Knows what a test tells it.
final class FakeResolver: NameResolver {
  struct Unknown: Error {}

  private struct State {
    var book: [String: [SocketAddress]] = [:]
    var lookUps: [String] = []
    /// Look-ups that hang.
    var hanging: [(name: String, promise: EventLoopPromise<[SocketAddress]>)] = []
    var hangingNames: Set<String> = []
  }

  private let state = Mutex(State())

  init(_ book: [String: [SocketAddress]] = [:]) { state.withLock { $0.book = book } }

  func addresses(
    of endpoint: Endpoint, on loop: any EventLoop
  ) -> EventLoopFuture<[SocketAddress]> {
    let promise = loop.makePromise(of: [SocketAddress].self)
    let isHanging = state.withLock { state in
      state.lookUps.append(endpoint.host)
      guard state.hangingNames.contains(endpoint.host) else { return false }
      state.hanging.append((endpoint.host, promise))
      return true
    }
    if !isHanging { answer(endpoint.host, promise) }
    return promise.futureResult
  }

  private func answer(_ name: String, _ promise: EventLoopPromise<[SocketAddress]>) {
    promise.completeWith(
      Result {
        guard let addresses = state.withLock({ $0.book[name] }) else { throw Unknown() }
        return addresses
      })
  }

  /// Where `name` leads from now on; nowhere where it is nil.
  func change(_ name: String, to addresses: [SocketAddress]?) {
    state.withLock { $0.book[name] = addresses }
  }

  /// From now on nobody who asks for `name` gets an answer.
  func hang(_ name: String) { _ = state.withLock { $0.hangingNames.insert(name) } }

  /// Answers what hangs.
  func goOn() {
    let hanging = state.withLock { state in
      state.hangingNames = []
      defer { state.hanging = [] }
      return state.hanging
    }
    for (name, promise) in hanging { answer(name, promise) }
  }

  /// The names that were looked up, in order.
  var lookUps: [String] { state.withLock { $0.lookUps } }
}
