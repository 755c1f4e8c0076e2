import Dispatch
import Exclusion

/// Does what is asynchronous on the thread that asks for it, and on no other: so it may be waited for wherever that is,
/// be it the only thread that Swift has.
final class ThisThread: TaskExecutor {
  private let jobs = Mutex<[UnownedJob]>([])
  private let isJob = DispatchSemaphore(value: 0)

  /// - Parameter body: Awaits only what does not wait for anything else, such as an actor.
  static func run<Result: Sendable>(_ body: @escaping @Sendable () async -> Result) -> Result {
    let (thread, box) = (ThisThread(), Box<Result>())
    Task(executorPreference: thread) {
      let result = await body()
      box.result.withLock { $0 = result }
    }
    while true {
      // The last job is that which has the result.
      thread.isJob.wait()
      thread.work()
      if let result = box.result.withLock({ $0 }) { return result }
    }
  }

  private final class Box<Result: Sendable>: Sendable { let result = Mutex<Result?>(nil) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    jobs.withLock { $0.append(job) }
    isJob.signal()
  }

  private func work() {
    let all = jobs.withLock { jobs in
      defer { jobs = [] }
      return jobs
    }
    for job in all { job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
