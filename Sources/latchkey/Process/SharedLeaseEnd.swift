import Glibc
import Synchronization

/// When the lease of a command ends if it is not renewed, in memory that `latchkey` shares with the
/// processes that it forks: the supervisor of the command and the witness know it from `latchkey`
/// itself, also where one of the others is suspended.
///
/// `@unchecked Sendable`: the pointer is constant, and what it points to atomic.
struct SharedLeaseEnd: @unchecked Sendable {
  private let shared: UnsafeMutablePointer<Atomic<Int64>>

  /// Memory for this process' life. Nil, with errno set, where the system gives none.
  init?() {
    let page = mmap(
      nil, MemoryLayout<Atomic<Int64>>.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
      0)
    guard let page, page != MAP_FAILED else { return nil }
    shared = page.bindMemory(to: Atomic<Int64>.self, capacity: 1)
    shared.initialize(to: Atomic(0))
  }

  /// In nanoseconds on the clock of ``Supervisor/now``. Only `latchkey` sets it.
  var value: Int64 {
    get { shared.pointee.load(ordering: .acquiring) }
    nonmutating set { shared.pointee.store(newValue, ordering: .releasing) }
  }
}
