/// What became of the streams of a client that nghttp2 remembers no more, as far as it decides what
/// another frame on them means.
///
/// A peer whose stream was reset may have sent more on it before it learned of that; whoever ended
/// or reset a stream itself, or passed it by, must not use it again. Source: RFC 9113 5.1 and
/// 5.1.1.
struct ClosedStreams {
  enum Fate: Equatable {
    /// This side reset it, so the frame may have crossed the RST_STREAM.
    case resetHere
    case resetByPeer
    /// The peer ended its side with END_STREAM.
    case ended
    /// The peer opened a later one instead.
    case passedBy
    /// It is too long ago: one of the others.
    case forgotten
  }

  /// Resets that are remembered; a power of 2.
  static let resetsMax = 256

  /// The highest stream that the peer has opened; -1 before the first.
  private(set) var newest: Int32 = -1
  /// The streams that were passed by last. Of earlier ones it is not told that they never were.
  private var passedBy: Range<Int32>?
  /// The latest resets, in a ring.
  private var resets: [(stream: Int32, isByPeer: Bool)] = []
  private var resetCount = 0
  /// Of the streams up to here some resets are forgotten.
  private var forgottenMax: Int32 = -1

  /// The peer opened `stream`, which is above ``newest``.
  mutating func opened(_ stream: Int32) {
    let next = newest + 1
    if next < stream - 1 { passedBy = next..<stream }
    newest = stream
  }

  /// Notes a reset, once however often it is told: when it is decided, and when it is sent.
  mutating func reset(_ stream: Int32, isByPeer: Bool) {
    guard !resets.contains(where: { $0 == (stream, isByPeer) }) else { return }
    let index = resetCount % Self.resetsMax
    resetCount += 1
    if index == resets.count { return resets.append((stream, isByPeer)) }
    forgottenMax = max(forgottenMax, resets[index].stream)
    resets[index] = (stream, isByPeer)
  }

  /// What became of `stream`, which is up to ``newest`` and not open.
  func fate(of stream: Int32) -> Fate {
    for age in 1..<resets.count + 1 {
      let reset = resets[(resetCount - age) % Self.resetsMax]
      if reset.stream == stream { return reset.isByPeer ? .resetByPeer : .resetHere }
    }
    if passedBy?.contains(stream) == true { return .passedBy }
    return stream <= forgottenMax ? .forgotten : .ended
  }
}
