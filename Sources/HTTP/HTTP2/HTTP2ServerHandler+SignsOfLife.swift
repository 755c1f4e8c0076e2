import CNghttp2
import NIOCore

/// Who asked a client for a sign of life and waits for it. One PING is under way at a time: its
/// answer may be older than a question that came after it, so that one waits for the next PING.
struct SignsOfLife {
  typealias Completion = (SignOfLife) -> Void

  /// Those that the PING under way answers; empty where none is.
  fileprivate var asked: [Completion] = []
  /// Those that came after it.
  fileprivate var next: [Completion] = []

  fileprivate var count: Int { asked.count + next.count }
}

extension HTTP2ServerHandler {
  private static let signOfLifePing: UInt64 = 0x4C4B_616C_6976_653F

  func askForSignOfLife(_ completion: @escaping SignsOfLife.Completion) {
    guard phase == .open else { return completion(.gone) }
    guard signsOfLife.count < limits.signsOfLifeMax else { return completion(.untold) }
    if signsOfLife.asked.isEmpty {
      guard PingPayload.submit(Self.signOfLifePing, to: session) else { return completion(.untold) }
      signsOfLife.asked = [completion]
      setNeedsPump()
    } else {
      signsOfLife.next.append(completion)
    }
  }

  /// A PING of the server was answered.
  func signOfLifeGiven(_ opaque: UInt64) {
    guard opaque == Self.signOfLifePing, !signsOfLife.asked.isEmpty else { return }
    let asked = signsOfLife.asked
    signsOfLife.asked = signsOfLife.next
    signsOfLife.next = []
    if !signsOfLife.asked.isEmpty {
      if PingPayload.submit(Self.signOfLifePing, to: session) {
        setNeedsPump()
      } else {
        endSignsOfLife(.untold)
      }
    }
    for completion in asked { completion(.given) }
  }

  /// Ends a connection from which nothing comes while its requests wait, not even an answer to a
  /// PING. Behind a proxy that keeps its own side open nothing else tells that a client is gone.
  /// Looks are counted, not time: when this server stood still, its peers may have been there.
  func checkSilence() {
    defer { heardAt = receivedAt }
    guard heardAt == receivedAt, streamCount > 0, !isReadPaused, !isInputEnded else {
      return silentLooks = 0
    }
    silentLooks += 1
    let silence = limits.checkInterval * silentLooks
    if silence >= limits.silenceTimeout {
      end(HTTP2ConnectionEnd(.silent, "the peer gives no sign of life"), code: ErrorCode.noError)
    } else if silence * 2 >= limits.silenceTimeout, signsOfLife.count == 0 {
      askForSignOfLife { _ in }
    }
  }

  func endSignsOfLife(_ sign: SignOfLife) {
    let waiting = signsOfLife.asked + signsOfLife.next
    signsOfLife = SignsOfLife()
    for completion in waiting { completion(sign) }
  }
}
