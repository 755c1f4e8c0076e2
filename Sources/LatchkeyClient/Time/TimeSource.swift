package import NIOCore
import Exclusion

/// A point on a clock that goes on while the machine sleeps (CLOCK_BOOTTIME on Linux): a holder must
/// not believe in its lease longer because its machine was suspended.
package typealias Instant = ContinuousClock.Instant

/// The client's clock and its alarms; tests have one that they move by hand.
package protocol TimeSource: Sendable {
  var now: Instant { get }

  /// Runs `action` once on `loop`, at `time` or soon after, unless it is cancelled before.
  func schedule(
    at time: Instant, on loop: any EventLoop, _ action: @escaping @Sendable () -> Void
  ) -> Alarm
}

/// Something that will happen unless it is cancelled.
package struct Alarm: Sendable {
  private let onCancel: @Sendable () -> Void

  package init(_ onCancel: @escaping @Sendable () -> Void) { self.onCancel = onCancel }

  /// Harmless where the alarm went off already. The action may still run once if it is about to.
  package func cancel() { onCancel() }
}

extension TimeSource {
  /// Returns at `time` or soon after, at once when the task is cancelled.
  package func sleep(until time: Instant, on loop: any EventLoop) async {
    let wakeup = Wakeup()
    let alarm = schedule(at: time, on: loop) { wakeup.fire() }
    await wakeup.wait()
    alarm.cancel()
  }
}

/// The time of this machine.
struct MachineTime: TimeSource {
  /// Event loops count time that stops during suspend, so a long wait is cut into slices: after a
  /// suspend, what is overdue happens within one slice.
  static let sliceMax: Duration = .milliseconds(500)

  var now: Instant { .now }

  func schedule(
    at time: Instant, on loop: any EventLoop, _ action: @escaping @Sendable () -> Void
  ) -> Alarm {
    let timer = SlicedTimer(time, loop, action)
    timer.arm()
    return Alarm { timer.cancel() }
  }
}

private final class SlicedTimer: Sendable {
  private enum State {
    case idle
    case armed(Scheduled<Void>)
    case cancelled
  }

  private let time: Instant
  private let loop: any EventLoop
  private let action: @Sendable () -> Void
  private let state = Mutex(State.idle)

  init(_ time: Instant, _ loop: any EventLoop, _ action: @escaping @Sendable () -> Void) {
    self.time = time
    self.loop = loop
    self.action = action
  }

  func arm() {
    let delay = min(max(time - .now, .zero), MachineTime.sliceMax)
    state.withLock {
      if case .cancelled = $0 { return }
      $0 = .armed(loop.scheduleTask(in: TimeAmount(delay)) { self.sliceEnded() })
    }
  }

  private func sliceEnded() {
    let isCancelled = state.withLock { if case .cancelled = $0 { true } else { false } }
    guard !isCancelled else { return }
    if time <= .now { action() } else { arm() }
  }

  func cancel() {
    state.withLock {
      if case .armed(let scheduled) = $0 { scheduled.cancel() }
      $0 = .cancelled
    }
  }
}
