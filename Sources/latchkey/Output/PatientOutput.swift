import Glibc
import LatchkeyClient
import Exclusion

/// An output for whose reader nobody waits but a thread of its own. What is not written yet is kept, up
/// to a bound; texts beyond that are dropped, and counted.
final class PatientOutput: Sendable {
  /// What is kept until somebody reads.
  static let bytesMax = 256 << 10
  /// How long the end of the program waits for that.
  static let flushMax = Duration.seconds(1)

  private struct State {
    var kept: [UInt8] = []
    var droppedCount = 0
    var isWriting = false
  }

  private let descriptor: Int32
  private let state = Mutex(State())

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Returns at once.
  func write(_ text: String) {
    let isToBeStarted = state.withLock { state in
      guard state.kept.count + text.utf8.count <= Self.bytesMax else {
        state.droppedCount += 1
        return false
      }
      state.kept += text.utf8
      defer { state.isWriting = true }
      return !state.isWriting
    }
    guard isToBeStarted, DetachedThread.start({ [self] in writeKept() }) != 0 else { return }
    writeWithoutWaiting()
  }

  /// What the system has no room for a thread for. The rest is kept for the next time.
  private func writeWithoutWaiting() {
    state.withLock { state in
      state.isWriting = false
      var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      while !state.kept.isEmpty, poll(&ready, 1, 0) > 0 {
        // A pipe that is ready takes so much at once.
        let part = Array(state.kept.prefix(Int(PIPE_BUF)))
        _ = writeAll(part, to: descriptor)
        state.kept.removeFirst(part.count)
      }
    }
  }

  func flush() {
    let deadline = ContinuousClock.now + Self.flushMax
    while state.withLock({ $0.isWriting }), ContinuousClock.now < deadline { usleep(1_000) }
  }

  private func writeKept() {
    while true {
      let next: [UInt8]? = state.withLock { state in
        defer { (state.kept, state.droppedCount) = ([], 0) }
        if state.droppedCount > 0 {
          state.kept += "latchkey: \(state.droppedCount) lines dropped: nobody read them\n".utf8
        }
        state.isWriting = !state.kept.isEmpty
        return state.isWriting ? state.kept : nil
      }
      guard let next else { return }
      // There is nobody to tell of an error here.
      _ = writeAll(next, to: descriptor)
    }
  }
}
