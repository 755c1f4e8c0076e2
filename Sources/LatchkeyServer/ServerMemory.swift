import HTTP
import NIOPosix

/// What a server keeps for its peers, over all of its connections: each kind within a bound of its own.
struct ServerMemory: Sendable {
  /// Bytes of all open streams, and of all answers that wait to be written, but for the bodies of the long
  /// ones.
  private static let answerBytesMax = 256 << 20
  /// What a connection may leave in the heap besides, in bytes.
  private static let connectionBytes = 32_768
  /// Less than this in bytes is not worth the trouble of giving it back.
  private static let trimBytesMin = 16 << 20
  /// So much in bytes is, however much more is in use.
  private static let trimBytesMax = 128 << 20

  /// The bodies of long answers, from their first byte being made.
  let longAnswers = AnswerBudgets()
  /// Open streams of HTTP/2, and every other answer from its being made.
  let answers = RoomBudget(bytesMax: Self.answerBytesMax)
  /// Requests that are not complete.
  let arrivals: RoomBudget

  /// - Parameter connectionArrivalBytesMax: What the requests of one connection may take, in bytes.
  init(connectionArrivalBytesMax: Int) {
    arrivals = RoomBudget(connectionBytesMax: connectionArrivalBytesMax)
  }

  private var bytesUsed: Int { longAnswers.bytesUsed + answers.bytesUsed + arrivals.bytesUsed }

  /// Calls `trim`, on a thread of its own, each time that much less is used than there was: half of it, or
  /// ``trimBytesMax``. The allocator keeps what many answers and requests took, piece by piece, unless it is
  /// told otherwise.
  ///
  /// - Parameter connectionCount: How many connections are open.
  func keepSmall(
    _ loop: EventLoopContext, connectionCount: @escaping @Sendable () -> Int,
    trim: @escaping @Sendable () -> Void
  ) {
    loop.eventLoop.execute {
      var peak = 0
      loop.repeats(every: .seconds(1)) {
        let used = bytesUsed + connectionCount() * Self.connectionBytes
        // What many of them take may have come and gone since the last look.
        peak = max(peak, used, answers.takePeak(), arrivals.takePeak())
        guard peak >= Self.trimBytesMin, used < max(peak / 2, peak - Self.trimBytesMax) else {
          return
        }
        peak = used
        NIOThreadPool.singleton.submit { _ in trim() }
      }
    }
  }
}
