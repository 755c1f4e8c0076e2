import Glibc

/// Sees to it that the command gets each signal once: those that reached `latchkey` alone are passed
/// on, those that were sent to its process group, or to every process of a cgroup, are not, since they
/// reached the command as well.
///
/// A signal does not tell which of both it was. So a witness stands in the same process group and the
/// same cgroup as the command (``SignalWitness``): what the same sender sent to it too was for all.
/// States of a signal that reached `latchkey`: `held`, until it is known that the witness did not get
/// it; `asked`, until the witness has said all that it knows; then it is forwarded.
struct SignalRelay {
  /// How long whoever signals one process after the other (systemd, timeout) may take from
  /// `latchkey` to the witness.
  static let holdMax = Duration.milliseconds(100)
  /// For how long what the witness got still explains what comes from the same sender to `latchkey`.
  static let memoryMax = Duration.milliseconds(500)
  /// A witness that does not answer for so long is stopped, or gone.
  static let answerMax = Duration.seconds(1)

  enum Action: Equatable {
    case forward(Int32)
    /// Have the witness answer when it has said all that it got.
    case askWitness
  }

  private struct Held {
    var sender: pid_t
    var due: Int64
    /// Which answer of the witness is to be waited for.
    var question: Int?
  }

  /// By signal, as the kernel keeps them: of each number one at most is on its way.
  private var held: [Int32: Held] = [:]
  private var witnessed: [Int32: (sender: pid_t, time: Int64)] = [:]
  private var questions = 0
  private var answers = 0

  var nextAlarm: Int64? { held.values.map(\.due).min() }

  /// A signal reached `latchkey`.
  mutating func received(_ number: Int32, from sender: pid_t, at now: Int64) {
    if let seen = witnessed[number], seen.sender == sender,
      now - seen.time < Self.memoryMax.nanoseconds
    {
      return
    }
    if held[number] == nil {
      held[number] = Held(sender: sender, due: now + Self.holdMax.nanoseconds)
    }
  }

  /// A signal reached the witness.
  mutating func witnessed(_ number: Int32, from sender: pid_t, at now: Int64) {
    witnessed[number] = (sender, now)
    if held[number]?.sender == sender { held[number] = nil }
  }

  /// The witness has answered a question.
  mutating func witnessAnswered() -> [Action] {
    answers += 1
    let answered = held.filter { $0.value.question.map { $0 <= answers } ?? false }.keys.sorted()
    return forward(answered)
  }

  mutating func timePassed(at now: Int64) -> [Action] {
    let due = held.filter { $0.value.due <= now }
    let actions = forward(due.filter { $0.value.question != nil }.keys.sorted())
    let unasked = due.filter { $0.value.question == nil }.keys
    guard !unasked.isEmpty else { return actions }
    questions += 1
    for number in unasked {
      held[number]!.question = questions
      held[number]!.due = now + Self.answerMax.nanoseconds
    }
    return actions + [.askWitness]
  }

  private mutating func forward(_ numbers: [Int32]) -> [Action] {
    for number in numbers { held[number] = nil }
    return numbers.map { .forward($0) }
  }
}
