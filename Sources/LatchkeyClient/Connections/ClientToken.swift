import Files
import Glibc
import NIOCore
import Exclusion

/// The bearer token of a client, read again now and then.
final class ClientToken: Sendable {
  /// How old what was read may be before it is read again, by the way.
  static let freshness = Duration.seconds(10)

  private struct State {
    var value: String?
    var readAt: Instant?
    var isBeingRead = false
  }

  private let token: BearerToken?
  private let time: any TimeSource
  private let state: Mutex<State>

  init(_ token: BearerToken?, time: any TimeSource) {
    self.token = token
    self.time = time
    var state = State()
    if case .text(let text) = token?.source { state.value = text }
    self.state = Mutex(state)
  }

  /// Done when there is something to show, if there is to be.
  func prepare(for endpoint: Endpoint, at address: SocketAddress, on loop: any EventLoop)
    -> EventLoopFuture<Void>
  {
    guard let token else { return loop.makeSucceededVoidFuture() }
    guard endpoint.isSecure || endpoint.socketPath != nil || address.isLoopback else {
      return loop.makeFailedFuture(
        FileError("\(token) is not sent in clear text to another machine: use https://"))
    }
    guard case .file(let path) = token.source, state.withLock({ $0.value }) == nil else {
      return loop.makeSucceededVoidFuture()
    }
    return read(path, on: loop)
  }

  /// Reads the file once more: what was shown was refused.
  ///
  /// - Returns: Whether there is another token now; nil where none is read from a file.
  func replace(_ shown: (String, String)?, on loop: any EventLoop) -> EventLoopFuture<Bool>? {
    guard case .file(let path) = token?.source else { return nil }
    return read(path, on: loop).map { [self] in
      state.withLock { $0.value }.map { "Bearer \($0)" } != shown?.1
    }.recover { _ in false }
  }

  private func read(_ path: String, on loop: any EventLoop) -> EventLoopFuture<Void> {
    let promise = loop.makePromise(of: Void.self)
    let code = DetachedThread.start { [self] in
      promise.completeWith(Result { try read(path) })
    }
    if code != 0 { promise.fail(IOError(errnoCode: code, reason: "no thread to read a token on")) }
    return promise.futureResult
  }

  /// The header field that shows it.
  var field: (String, String)? {
    guard let token else { return nil }
    if case .file(let path) = token.source { refresh(path) }
    return state.withLock { $0.value }.map { ("authorization", "Bearer \($0)") }
  }

  private func refresh(_ path: String) {
    let now = time.now
    let isDue = state.withLock { state in
      guard !state.isBeingRead, state.readAt.map({ now - $0 >= Self.freshness }) ?? true else {
        return false
      }
      state.isBeingRead = true
      return true
    }
    guard isDue else { return }
    // What cannot be read now is read later; until then the one before is shown.
    let code = DetachedThread.start { [self] in try? read(path) }
    if code != 0 { state.withLock { $0.isBeingRead = false } }
  }

  private func read(_ path: String) throws(FileError) {
    defer {
      state.withLock {
        $0.isBeingRead = false
        $0.readAt = time.now
      }
    }
    let bytes = try FileReading.bytes(of: path, max: BearerToken.bytesMax)
    let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
    guard BearerToken.isToken(line) else {
      throw FileError("the first line of \(path) is no token")
    }
    state.withLock { $0.value = String(decoding: line, as: UTF8.self) }
  }
}

extension SocketAddress {
  /// Whether what is sent there stays on this machine.
  var isLoopback: Bool {
    switch self {
    case .v4(let address): address.address.sin_addr.s_addr.bigEndian >> 24 == 127
    case .v6(let address):
      withUnsafeBytes(of: address.address.sin6_addr) { bytes in
        bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
      }
    case .unixDomainSocket: true
    }
  }
}
