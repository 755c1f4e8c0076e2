import NIOCore
import Synchronization

/// A client's way to its servers: attempts go in, outcomes come out, on whichever connection there is
/// at the time.
final class Link: Sendable {
  let loop: any EventLoop
  private let driver: NIOLoopBoundBox<LinkDriver>
  private let attemptCount = Atomic<Int>(0)

  init(_ configuration: LatchkeyClient.Configuration, _ environment: ClientEnvironment) {
    loop = environment.group.next()
    driver = .makeBoxSendingValue(
      LinkDriver(configuration, environment, loop: loop), eventLoop: loop)
  }

  /// Asks once, as soon as there is a connection. Returns at `deadline` at the latest, and at once
  /// when the task is cancelled.
  func attempt(_ question: Question, deadline: Instant) async -> AttemptOutcome {
    let id = attemptCount.wrappingAdd(1, ordering: .relaxed).newValue
    let cancellation = Cancellation()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        loop.execute { [driver] in
          let attempt = Attempt(question, deadline: deadline) { continuation.resume(returning: $0) }
          // Where the cancellation came first, it found no attempt to cancel.
          if cancellation.isRequested.load(ordering: .relaxed) {
            attempt.complete(.failed(LinkDriver.cancelledFailure))
          } else {
            driver.value.submit(id, attempt)
          }
        }
      }
    } onCancel: {
      cancellation.isRequested.store(true, ordering: .relaxed)
      loop.execute { [driver] in driver.value.cancel(id) }
    }
  }

  /// Fails what is under way and closes all connections. `closed` is called when that is done.
  func close(_ closed: @escaping @Sendable () -> Void = {}) {
    loop.execute { [driver] in driver.value.close().whenComplete { _ in closed() } }
  }
}

private final class Cancellation: Sendable {
  let isRequested = Atomic<Bool>(false)
}
