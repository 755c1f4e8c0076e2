import Glibc

/// What `latchkey` tells the supervisor of its command.
enum SupervisorInstruction: Equatable {
  /// Start the command. `changes` are to be made to its environment. How far the lease reaches is told
  /// by ``SharedLeaseEnd``.
  case start(lease: Int64, waitsForDescendants: Bool, changes: [EnvironmentChange])
  case signal(ReceivedSignal)
  case stop
}

/// What the supervisor tells `latchkey`.
enum SupervisorReport: Equatable {
  /// The command is being ended, because its lease is.
  case ending
  /// The last word.
  case finished(Supervision.Outcome)
  /// The last word as well: nothing was started, because of this errno.
  case failed(Int32)
}

/// A variable to be set, or, with nil, to be removed.
struct EnvironmentChange: Equatable, Sendable {
  let name: String
  let value: String?
}

/// A message between two processes of this very program, one of them a fork of the other, so neither
/// ever meets another version of it.
struct SupervisorMessage: Equatable {
  /// The text of a start, which is the largest: a key and an owner, up to 512 bytes each, and 64
  /// addresses of servers.
  static let bytesMax = 32 << 10
  private static let wordCount = 5

  private var words: [Int64]
  private var text: [UInt8] = []

  private init(_ words: Int64..., text: [UInt8] = []) {
    self.words =
      words + [Int64](repeating: 0, count: Self.wordCount - words.count)
    self.text = text
  }

  // MARK: - On the way

  /// - Returns: 0, or the errno: EAGAIN where the other one takes nothing at the moment.
  func send(on descriptor: Int32) -> Int32 {
    let bytes = words.withUnsafeBytes { Array($0) } + text
    while true {
      let count = bytes.withUnsafeBytes {
        Glibc.send(
          descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
        )
      }
      if count >= 0 { return 0 }
      if errno != EINTR { return errno }
    }
  }

  enum Received {
    case message(SupervisorMessage)
    case nothing
    /// The other one is gone.
    case end
  }

  static func receive(on descriptor: Int32, waits: Bool) -> Received {
    var bytes = [UInt8](repeating: 0, count: bytesMax)
    while true {
      let count = recv(descriptor, &bytes, bytes.count, waits ? 0 : Int32(MSG_DONTWAIT))
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { return .nothing }
      let head = wordCount * MemoryLayout<Int64>.size
      guard count >= head else { return .end }
      var message = SupervisorMessage(text: Array(bytes[head..<count]))
      message.words = bytes.withUnsafeBytes { raw in
        (0..<wordCount).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self) }
      }
      return .message(message)
    }
  }

  // MARK: - Meaning

  init(_ instruction: SupervisorInstruction) {
    switch instruction {
    case .start(let lease, let waits, let changes):
      let text = changes.map { "\($0.name)=" + ($0.value.map { "=\($0)" } ?? "") + "\0" }
      self.init(1, lease, waits ? 1 : 0, text: Array(text.joined().utf8))
    case .signal(let signal):
      self.init(2, Int64(signal.number), Int64(signal.sender), signal.isFromKernel ? 1 : 0)
    case .stop: self.init(3)
    }
  }

  var instruction: SupervisorInstruction {
    switch words[0] {
    case 1:
      .start(lease: words[1], waitsForDescendants: words[2] == 1, changes: changes)
    case 2:
      .signal(
        ReceivedSignal(
          number: Int32(words[1]), sender: pid_t(words[2]), isFromKernel: words[3] == 1))
    case 3: .stop
    default: preconditionFailure("an instruction of another program")
    }
  }

  private var changes: [EnvironmentChange] {
    text.split(separator: 0).map { entry in
      let name = entry.prefix { $0 != UInt8(ascii: "=") }
      let rest = entry.dropFirst(name.count + 1)
      return EnvironmentChange(
        name: String(decoding: name, as: UTF8.self),
        value: rest.isEmpty ? nil : String(decoding: rest.dropFirst(), as: UTF8.self))
    }
  }

  init(_ report: SupervisorReport) {
    switch report {
    case .ending: self.init(1)
    case .finished(let outcome):
      let (reason, signal): (Int64, Int32) =
        switch outcome.reason {
        case .byItself: (1, 0)
        case .leaseEnded: (2, 0)
        case .interrupted(let signal): (3, signal)
        case .abandoned(let signal): (4, signal)
        case .tooLate: (5, 0)
        }
      let (kind, code): (Int64, Int32) =
        switch outcome.end {
        case .exited(let code): (1, code)
        case .killed(let signal): (2, signal)
        case nil: (0, 0)
        }
      self.init(2, reason, Int64(signal), kind, Int64(code))
    case .failed(let code): self.init(3, Int64(code))
    }
  }

  var report: SupervisorReport {
    switch words[0] {
    case 1: return .ending
    case 3: return .failed(Int32(words[1]))
    case 2:
      let signal = Int32(words[2])
      let code = Int32(words[4])
      let reason: Supervision.Outcome.Reason =
        switch words[1] {
        case 1: .byItself
        case 2: .leaseEnded
        case 3: .interrupted(signal)
        case 4: .abandoned(signal)
        default: .tooLate
        }
      let end: ProcessEnd? =
        switch words[3] {
        case 1: .exited(code)
        case 2: .killed(signal: code)
        default: nil
        }
      return .finished(Supervision.Outcome(end: end, reason: reason))
    default: preconditionFailure("a report of another program")
    }
  }
}
