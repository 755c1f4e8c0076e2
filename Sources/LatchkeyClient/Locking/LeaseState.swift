/// Whether a lease still stands, as its holder must see it ("holder-first"): it is over no later than
/// its length after the last accepted request was *sent*. Once lost, it stays lost.
struct LeaseState: Equatable {
  enum Phase: Equatable {
    /// Next: lost or ended.
    case held(until: Instant)
    /// Next: nothing.
    case lost(Loss)
    /// Given back by its holder. Next: nothing.
    case ended
  }

  enum Loss: Equatable {
    /// No renewal was accepted in time.
    case expired
    /// The server says that the grant is over, or that another owner has the key.
    case taken
  }

  let length: Duration
  private(set) var phase: Phase

  /// A claim that was sent at `sentAt` was accepted.
  init(length: Duration, sentAt: Instant) {
    self.length = length
    phase = .held(until: sentAt + length)
  }

  /// A renewal that was sent at `sentAt` was accepted. Too late where the lease was over before the
  /// answer came: the holder may have been told already.
  mutating func accepted(sentAt: Instant, at now: Instant) {
    guard let deadline = deadline(at: now) else { return }
    // Answers may overtake each other.
    phase = .held(until: max(deadline, sentAt + length))
  }

  mutating func taken(at now: Instant) {
    if deadline(at: now) != nil { phase = .lost(.taken) }
  }

  /// The holder is done. Returns whether it held the lease until now.
  mutating func end(at now: Instant) -> Bool {
    guard deadline(at: now) != nil else { return false }
    phase = .ended
    return true
  }

  /// When the lease is over; nil where it is.
  mutating func deadline(at now: Instant) -> Instant? {
    guard case .held(let deadline) = phase else { return nil }
    if now < deadline { return deadline }
    phase = .lost(.expired)
    return nil
  }
}
