import CLinux
import NIOCore
import NIOPosix

/// Where tasks run that belong to no actor.
enum TaskPool {
  /// Has them run on event loops.
  ///
  /// Swift's own pool is that of libdispatch, which looks its threads up in /proc and ends the program
  /// where it does not find them: in a chroot, a bare container, or a PID namespace with the outer
  /// one's /proc. To be called before the first task. Nothing here may wait for its own delays
  /// (`Task.sleep`) then, which are still libdispatch's.
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
  }
}
