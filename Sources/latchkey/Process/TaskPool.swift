import CLinux
import NIOCore
import NIOPosix

/// Where tasks run that belong to no actor.
enum TaskPool {
  /// Threads that tasks and connections share: one may be busy with an output that nobody reads.
  private static let loopCount = 2
  /// Threads beside those and the main one that are started when there is something to do: what is
  /// said, by the library and by this program, and the look-up of a name.
  private static let otherThreadsMax = 3

  /// Files that the program may open beside those of a command: those of the loops, a connection, and
  /// what is read to find a server.
  private static let filesMax = 16

  /// Makes sure that there is room for all threads and files that the program may need. To be called
  /// before there is any of them.
  ///
  /// - Parameter more: Threads and processes that the command needs for itself.
  static func checkRoom(for more: Int) throws(Failure) {
    var code = linux_try_files(Int32(filesMax))
    if code != 0 { throw Failure(cannot: "open a file", code) }
    code = linux_try_threads(Int32(loopCount + otherThreadsMax + more))
    if code != 0 { throw Failure(cannot: "start a thread", code) }
  }

  /// Has tasks run on event loops, and starts those.
  ///
  /// Swift's own pool is that of libdispatch, which looks its threads up in /proc and ends the program
  /// where it does not find them: in a chroot, a bare container, or a PID namespace with the outer
  /// one's /proc. And where the system has no room for a thread, it tries again for ever. To be called
  /// before the first task. Nothing here may wait by `Task.sleep` then, which is still libdispatch's:
  /// there is ``sleep(for:)``.
  ///
  /// As `NIOSingletons.unsafeTryInstallSingletonPosixEventLoopGroupAsConcurrencyGlobalExecutor` does,
  /// which does not find the hook in a program that has the runtime inside.
  static func useEventLoops() {
    typealias Hook =
      @convention(thin) (UnownedJob, @convention(thin) (UnownedJob) -> Void) -> Void
    withUnsafeTemporaryAllocation(of: Hook.self, capacity: 1) { hook in
      hook.baseAddress!.initialize(to: { job, _ in
        MultiThreadedEventLoopGroup.singleton.any().executor.enqueue(ExecutorJob(job))
      })
      hook.baseAddress!.withMemoryRebound(to: UnsafeMutableRawPointer.self, capacity: 1) {
        linux_set_task_hook($0.pointee)
      }
    }
    NIOSingletons.groupLoopCountSuggestion = loopCount
    // The first use of it starts the threads.
    _ = MultiThreadedEventLoopGroup.singleton
  }

  /// - Throws: Where the task is cancelled.
  static func sleep(for duration: Duration) async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let alarm = loop.scheduleTask(in: TimeAmount(duration)) {}
    try await withTaskCancellationHandler {
      try await alarm.futureResult.get()
    } onCancel: {
      alarm.cancel()
    }
  }
}
