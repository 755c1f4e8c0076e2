import NIOCore
import Synchronization

/// A client's way to its servers: calls go in, outcomes come out, on whichever connection there is
/// at the time.
final class Link: Sendable {
  let loop: any EventLoop
  private let driver: NIOLoopBoundBox<LinkDriver>

  init(
    _ configuration: LatchkeyClient.Configuration, _ environment: ClientEnvironment,
    _ log: ClientLog
  ) {
    loop = environment.group.next()
    driver = .makeBoxSendingValue(
      LinkDriver(configuration, environment, log, loop: loop), eventLoop: loop)
  }

  /// Asks until there is an answer, a failure that another attempt would not mend, or the deadline.
  /// Returns at once when the task is cancelled.
  func ask(_ inquiry: Inquiry) async -> CallOutcome {
    let call = NIOLoopBoundBox.makeEmptyBox(valueType: Call.self, eventLoop: loop)
    let cancellation = Cancellation()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        loop.execute { [driver] in
          let new = Call(inquiry, driver.value) {
            call.value = nil
            continuation.resume(returning: $0)
          }
          // Where the cancellation came first, it found no call to cancel.
          if cancellation.isRequested.load(ordering: .relaxed) {
            let outcome = AttemptOutcome.failed(LinkDriver.cancelledFailure)
            return continuation.resume(
              returning: CallOutcome(
                outcome: outcome, isAfterUncertainty: false, usedFallback: false))
          }
          call.value = new
          new.start()
        }
      }
    } onCancel: {
      cancellation.isRequested.store(true, ordering: .relaxed)
      loop.execute { call.value?.cancel() }
    }
  }

  /// Runs `action` with the driver, on the event loop.
  func withDriver(_ action: @escaping @Sendable (LinkDriver) -> Void) {
    loop.execute { [driver] in action(driver.value) }
  }

  /// Fails what is under way and closes all connections. `closed` is called when that is done.
  func close(_ closed: @escaping @Sendable () -> Void = {}) {
    withDriver { driver in driver.close().whenComplete { _ in closed() } }
  }
}

private final class Cancellation: Sendable {
  let isRequested = Atomic<Bool>(false)
}
