import Glibc
import Testing

@testable import LatchkeyClient
@testable import latchkey

@Suite("Command line: what the supervisor decides")
struct CLISupervisionTests {
  private static let second: Int64 = 1_000_000_000
  private static let terminate: [Supervision.Action] = [.signalAll(SIGTERM), .signalAll(SIGCONT)]

  /// A lease of 10 s that was sent at 0: the grace begins at 8.75 s, and SIGKILL comes at 9.5 s.
  private func supervision(waits: Bool = false) -> Supervision {
    Supervision(lease: .seconds(10), until: 10 * Self.second, waitsForDescendants: waits)
  }

  private func finish(
    _ end: ProcessEnd?, _ reason: Supervision.Outcome.Reason
  ) -> Supervision.Action { .finish(Supervision.Outcome(end: end, reason: reason)) }

  @Test("A command that ends by itself leaves behind what it wants")
  func success() {
    var it = supervision()
    #expect(it.handle(.commandEnded(.exited(0)), at: 1) == [finish(.exited(0), .byItself)])
    #expect(it.nextAlarm == nil)
    #expect(it.handle(.allEnded, at: 2) == [])
  }

  @Test(
    "What is left of a command that failed, or had to end, is ended",
    arguments: [.exited(1), .killed(signal: SIGTERM), .exited(0)] as [ProcessEnd])
  func remains(end: ProcessEnd) {
    var it = supervision()
    if end == .exited(0) { #expect(it.handle(.endRequested(SIGTERM), at: 0) == []) }
    #expect(it.handle(.commandEnded(end), at: 0) == Self.terminate)
    #expect(it.nextAlarm == 5 * Self.second)
    #expect(it.handle(.time, at: 5 * Self.second - 1) == [])
    #expect(it.handle(.time, at: 5 * Self.second) == [.signalAll(SIGKILL)])
    #expect(it.handle(.allEnded, at: 5 * Self.second + 1) == [finish(end, .byItself)])
  }

  @Test("A second signal that asks for the end means at once")
  func hurry() {
    var it = supervision()
    #expect(it.handle(.commandEnded(.killed(signal: SIGINT)), at: 0) == Self.terminate)
    #expect(it.handle(.endRequested(SIGINT), at: 1) == [.signalAll(SIGKILL)])
  }

  @Test("A lease that is renewed lets the command go on; one that is not ends it in time")
  func leaseEnds() {
    var it = supervision()
    #expect(it.nextAlarm == 8 * Self.second + Self.second * 3 / 4)
    #expect(it.handle(.leaseGood(until: 20 * Self.second), at: 3 * Self.second) == [])
    #expect(it.handle(.time, at: 10 * Self.second) == [])
    let grace = 18 * Self.second + Self.second * 3 / 4
    #expect(it.nextAlarm == grace)
    #expect(it.handle(.time, at: grace) == [.sayEnding] + Self.terminate)
    let kill = 19 * Self.second + Self.second / 2
    #expect(it.nextAlarm == kill)
    #expect(it.handle(.time, at: kill) == [.signalAll(SIGKILL)])
    #expect(it.nextAlarm == kill + 20_000_000)
    #expect(it.handle(.commandEnded(.killed(signal: SIGKILL)), at: kill + 1) == [])
    #expect(
      it.handle(.allEnded, at: kill + 2) == [finish(.killed(signal: SIGKILL), .leaseEnded)])
  }

  @Test(
    "Of every lease, half is for the answer to a renewal, and the grace is longer than the kill takes",
    arguments: [.milliseconds(500), .seconds(4), .seconds(15), .seconds(3_600)] as [Duration])
  func parts(lease: Duration) {
    // A renewal is sent after a third of the lease, and a tenth of that at most; LeaseWatch may look
    // as late as this after its answer.
    let sent = lease / ClientLimits.renewAfterDivisor * 11 / 10
    let noticed = sent + lease / 2 + lease / LeaseWatch.lateIntervalPartOfLease
    #expect(noticed <= lease - Supervision.grace(ofLease: lease))
    #expect(Supervision.killMargin(ofLease: lease) < Supervision.grace(ofLease: lease))
    #expect(Supervision.killMargin(ofLease: lease) >= min(.milliseconds(500), lease / 10))
  }

  @Test("A lease that is lost already leaves no grace")
  func lostLease() {
    var it = supervision()
    #expect(it.handle(.leaseGood(until: 3), at: 3) == [])
    #expect(it.handle(.stop, at: 3) == [.sayEnding, .signalAll(SIGKILL)])
  }

  @Test("When latchkey is killed, the command ends within the grace, and before the lease")
  func alone() {
    var it = supervision()
    let now = 8 * Self.second
    #expect(it.handle(.latchkeyEnded, at: now) == [.sayEnding] + Self.terminate)
    #expect(it.nextAlarm == 9 * Self.second + Self.second / 2)
  }

  @Test("Descendants are waited for where that is wanted, until a signal or the lease's end")
  func lingers() {
    var it = supervision(waits: true)
    #expect(it.handle(.commandEnded(.exited(0)), at: 0) == [])
    var other = it
    #expect(it.handle(.allEnded, at: 1) == [finish(.exited(0), .byItself)])
    #expect(other.handle(.endRequested(SIGTERM), at: 1) == Self.terminate)
    #expect(other.handle(.allEnded, at: 2) == [finish(.exited(0), .interrupted(SIGTERM))])
  }

  @Test("What cannot be ended is said once, and waited for while the lease holds")
  func stuck() {
    var it = supervision()
    #expect(it.handle(.commandEnded(.killed(signal: SIGTERM)), at: 0) == Self.terminate)
    _ = it.handle(.leaseGood(until: 100 * Self.second), at: 1)
    #expect(it.handle(.time, at: 5 * Self.second) == [.signalAll(SIGKILL)])
    #expect(it.handle(.time, at: 6 * Self.second) == [.signalAll(SIGKILL), .sayStuck])
    #expect(it.handle(.time, at: 6 * Self.second + 1) == [])
    #expect(it.handle(.time, at: 7 * Self.second) == [.signalAll(SIGKILL)])
    #expect(
      it.handle(.endRequested(SIGTERM), at: 7 * Self.second + 1)
        == [finish(.killed(signal: SIGTERM), .abandoned(SIGTERM))])
  }

  @Test("What cannot be ended is given up with the lease")
  func stuckForGood() {
    var it = supervision()
    #expect(it.handle(.latchkeyEnded, at: 0) == [.sayEnding] + Self.terminate)
    #expect(it.handle(.time, at: 5 * Self.second) == [.signalAll(SIGKILL)])
    #expect(
      it.handle(.time, at: 6 * Self.second)
        == [.signalAll(SIGKILL), .sayStuck, finish(nil, .leaseEnded)])
  }

  @Test("What is killed late, after a suspension, has its time to die all the same")
  func killedLate() {
    var it = supervision()
    let now = 60 * Self.second
    #expect(it.handle(.time, at: now) == [.sayEnding, .signalAll(SIGKILL)])
    let stuck = now + Supervision.stuckAfter.nanoseconds
    #expect(it.handle(.time, at: stuck - 1) == [.signalAll(SIGKILL)])
    #expect(
      it.handle(.time, at: stuck + Self.second)
        == [.signalAll(SIGKILL), .sayStuck, finish(nil, .leaseEnded)])
  }

  @Test("A command may start until the lease is about to end, and not after a stop")
  func start() {
    var it = supervision()
    let grace = it.nextAlarm ?? 0
    #expect(it.refusal(at: grace - 1) == nil)
    #expect(it.refusal(at: grace) == .tooLate)
    #expect(it.handle(.leaseGood(until: 20 * Self.second), at: grace) == [])
    #expect(it.refusal(at: grace) == nil)
    _ = it.handle(.stop, at: grace)
    #expect(it.refusal(at: grace) == .tooLate)
  }

  @Test("A command that was asked to end before it started does not start")
  func noStart() {
    var it = supervision()
    #expect(it.handle(.endRequested(SIGINT), at: 0) == [])
    #expect(it.handle(.endRequested(SIGTERM), at: 0) == [])
    #expect(it.refusal(at: 1) == .interrupted(SIGINT))
  }

  @Test("The witness kills after the supervisor should have, and before the lease's end")
  func lastMoment() {
    let moment = Supervision.lastMoment(ofLease: .seconds(10), until: 10 * Self.second)
    #expect(moment == 9 * Self.second + Self.second * 3 / 4)
  }

  @Test("Messages come out as they went in")
  func messages() {
    let instructions: [SupervisorInstruction] = [
      .start(
        lease: .max, waitsForDescendants: true,
        changes: [
          EnvironmentChange(name: "A", value: "b=c é"), EnvironmentChange(name: "B", value: nil),
          EnvironmentChange(name: "C", value: ""),
        ]), .stop,
      .signal(ReceivedSignal(number: 15, sender: 4711, isFromKernel: true)),
    ]
    for instruction in instructions {
      #expect(SupervisorMessage(instruction).instruction == instruction)
    }
    for end in [nil, .exited(3), .killed(signal: 9)] as [ProcessEnd?] {
      for reason in [
        .byItself, .leaseEnded, .interrupted(2), .abandoned(15), .tooLate,
      ] as [Supervision.Outcome.Reason] {
        let report = SupervisorReport.finished(Supervision.Outcome(end: end, reason: reason))
        #expect(SupervisorMessage(report).report == report)
      }
    }
    #expect(SupervisorMessage(SupervisorReport.ending).report == .ending)
    #expect(SupervisorMessage(SupervisorReport.failed(11)).report == .failed(11))
  }
}

@Suite("Command line: which signals are passed on")
struct CLISignalRelayTests {
  private static let hold = SignalRelay.holdMax.nanoseconds

  @Test("A signal to latchkey alone is passed on when the witness has said that it knows nothing")
  func alone() {
    var relay = SignalRelay()
    relay.received(SIGTERM, from: 7, at: 0)
    #expect(relay.nextAlarm == Self.hold)
    #expect(relay.timePassed(at: Self.hold - 1) == [])
    #expect(relay.timePassed(at: Self.hold) == [.askWitness])
    #expect(relay.timePassed(at: Self.hold + 1) == [])
    #expect(relay.witnessAnswered() == [.forward(SIGTERM)])
    #expect(relay.nextAlarm == nil)
  }

  @Test("What the witness got too, before or after, is not passed on", arguments: [true, false])
  func forAll(isFirst: Bool) {
    var relay = SignalRelay()
    if isFirst { relay.witnessed(SIGTERM, from: 7, at: 0) }
    relay.received(SIGTERM, from: 7, at: 1)
    if !isFirst { relay.witnessed(SIGTERM, from: 7, at: 2) }
    // As timeout(1) does: to the process, then to its group.
    relay.received(SIGTERM, from: 7, at: 3)
    #expect(relay.nextAlarm == nil)
  }

  @Test("What the witness says before it answers counts, however late that is")
  func lateWitness() {
    var relay = SignalRelay()
    relay.received(SIGTERM, from: 7, at: 0)
    #expect(relay.timePassed(at: Self.hold) == [.askWitness])
    relay.witnessed(SIGTERM, from: 7, at: Self.hold + 1)
    #expect(relay.witnessAnswered() == [])
  }

  @Test("Another signal, or another sender, is not explained by the witness")
  func others() {
    var relay = SignalRelay()
    relay.witnessed(SIGTERM, from: 7, at: 0)
    relay.received(SIGTERM, from: 8, at: 1)
    relay.received(SIGINT, from: 7, at: 1)
    #expect(relay.timePassed(at: Self.hold + 1) == [.askWitness])
    #expect(relay.witnessAnswered() == [.forward(SIGINT), .forward(SIGTERM)])
  }

  @Test("A later signal of the same sender is one of its own")
  func later() {
    var relay = SignalRelay()
    relay.witnessed(SIGTERM, from: 7, at: 0)
    let now = SignalRelay.memoryMax.nanoseconds
    relay.received(SIGTERM, from: 7, at: now)
    #expect(relay.timePassed(at: now + Self.hold) == [.askWitness])
  }

  @Test("A witness that does not answer is not waited for")
  func silentWitness() {
    var relay = SignalRelay()
    relay.received(SIGTERM, from: 7, at: 0)
    #expect(relay.timePassed(at: Self.hold) == [.askWitness])
    let limit = Self.hold + SignalRelay.answerMax.nanoseconds
    #expect(relay.nextAlarm == limit)
    #expect(relay.timePassed(at: limit) == [.forward(SIGTERM)])
  }
}
