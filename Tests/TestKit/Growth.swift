import Glibc

/// How much more work a larger input is: tells what takes a time in proportion to its input, or
/// nearly so, from what takes the square of it.
///
/// The work is measured by the processor time of its own thread, the best of several tries, so that
/// a busy machine does not matter.
package enum Growth {
  /// How much larger the second input is.
  package static let factor = 8
  /// More than n log n and a cold cache make of it, and far less than the 64 of a square.
  package static let ratioMax = 24.0

  private static let triesMin = 2
  private static let triesMax = 40
  /// How often the smaller input is worked on in one try.
  private static let repetitions = 2

  /// How many times as long `work` takes with an input of `size` as with one of a ``factor``-th of
  /// it. Tries until it is below ``ratioMax``, or often enough to be sure that it is not.
  ///
  /// - Parameters:
  ///   - size: Of the larger input; the largest that a peer can send is best.
  ///   - input: Makes an input of a size.
  ///   - work: What is measured. Its result keeps it from being optimised away.
  package static func ratio<Input>(
    size: Int, input: (Int) -> Input, work: (Input) -> some Any
  ) -> Double {
    let (small, large) = (input(size / factor), input(size))
    var best = (small: Double.infinity, large: Double.infinity)
    for round in 1...triesMax {
      best.small = min(
        best.small, seconds { for _ in 0..<repetitions { _ = work(small) } } / Double(repetitions))
      best.large = min(best.large, seconds { _ = work(large) })
      if round >= triesMin, best.large / best.small <= ratioMax { break }
      // It takes too long to be noise.
      if best.large > 2 { break }
    }
    return best.large / best.small
  }

  private static func seconds(_ work: () -> Void) -> Double {
    let start = threadTime()
    work()
    return threadTime() - start
  }

  private static func threadTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}

/// Inputs that take long where something is done carelessly.
package enum Marks {
  /// Combining marks of two classes by turns, which normalising sorts.
  package static func run(_ count: Int) -> String {
    var text = String.UnicodeScalarView()
    for index in 0..<count { text.append(index.isMultiple(of: 2) ? "\u{315}" : "\u{316}") }
    return String(text)
  }

  /// So many bytes of text without a long run of them.
  package static func bounded(bytes: Int) -> String {
    let piece = "a" + run(30)
    return String(repeating: piece, count: max(1, bytes / piece.utf8.count))
  }
}
