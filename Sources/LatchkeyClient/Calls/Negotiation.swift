import NIOCore
import WireSchema

/// Decides which wire version a request is written in.
///
/// A server says what it speaks in three ways: in the SETTINGS of its connection, in the header of
/// every response (all that gets through a proxy), and in the error that answers a version it does not
/// speak. Nobody waits for any of them: the newest version is sent until something else is known.
struct Negotiation: Sendable {
  /// What this client speaks.
  let spoken: WireRange
  /// What was last heard, by address: each address of a name may be another server. At most
  /// ``addressesMax``.
  private var remembered: [SocketAddress: (range: WireRange, heardAt: Instant)] = [:]

  /// As many as a client can have at one time.
  static let addressesMax = ClientLimits.endpointsMax * ClientLimits.addressesMax

  init(spoken: WireRange) { self.spoken = spoken }

  enum Choice: Equatable {
    case version(UInt32)
    /// The server speaks this, and none of it is known here.
    case nothingInCommon(WireRange)
  }

  /// - Parameter offered: What the connection's server said on it; nil where it said nothing.
  func choose(for address: SocketAddress, offered: WireRange?, at now: Instant) -> Choice {
    if let offered {
      return spoken.newestCommon(with: offered).map(Choice.version) ?? .nothingInCommon(offered)
    }
    // What is remembered is a guess: another server may answer by now. It must not keep the client
    // from asking, which is how it would learn.
    let known = range(of: address, offered: nil, at: now)
    let common = known.flatMap { spoken.newestCommon(with: $0) }
    return .version(common ?? spoken.newest)
  }

  /// What the server at `address` speaks, as far as it is known. What was heard too long ago counts
  /// no more: a proxy that hides what servers say would hide a newer one for ever.
  func range(of address: SocketAddress, offered: WireRange?, at now: Instant) -> WireRange? {
    if let offered { return offered }
    guard let (range, heardAt) = remembered[address],
      now - heardAt < ClientLimits.rangeAgeMax
    else { return nil }
    return range
  }

  mutating func learn(_ range: WireRange, of address: SocketAddress, at now: Instant) {
    if remembered.count >= Self.addressesMax, remembered[address] == nil,
      let oldest = remembered.min(by: { $0.value.heardAt < $1.value.heardAt })
    {
      remembered[oldest.key] = nil
    }
    remembered[address] = (range, now)
  }
}
