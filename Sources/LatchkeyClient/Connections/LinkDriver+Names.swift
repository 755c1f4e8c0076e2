import Logging
import NIOCore

/// What is known of the name of an endpoint.
struct KnownName {
  /// Where it led when it was last looked up with success, in the order of trying: at most
  /// ``ClientLimits/addressesMax``. Kept for when nobody knows: a server whose DNS is out of order
  /// is still there.
  var addresses: [SocketAddress] = []
  /// There is one look-up at a time, which may take longer than anybody waits for it.
  var isBeingLookedUp = false
  /// Until when the look-up is waited for.
  var alarm: Alarm?
}

// Looking up the names of endpoints.
extension LinkDriver {
  /// Has the state know where endpoint `index` is, after
  /// ``LatchkeyClient/Configuration/connectTimeout`` at the latest.
  func resolve(_ index: Int) {
    let endpoint = configuration.endpoints[index]
    var name = names[index] ?? KnownName()
    let isUnderWay = name.isBeingLookedUp
    name.isBeingLookedUp = true
    names[index] = name
    let this = NIOLoopBound(self, eventLoop: loop)
    if !isUnderWay {
      environment.resolver.addresses(of: endpoint, on: loop).hop(to: loop).whenComplete { result in
        this.value.lookedUp(index, endpoint, result.map(\.inTurn))
      }
    }
    guard names[index]?.isBeingLookedUp == true else { return }
    let patience =
      name.addresses.isEmpty
      ? configuration.connectTimeout
      : min(configuration.connectTimeout, ClientLimits.lookupPatience)
    names[index]?.alarm = time.schedule(at: time.now + patience, on: loop) {
      this.value.notResolved(index, endpoint, "its name was not resolved in time")
    }
  }

  private func lookedUp(
    _ index: Int, _ endpoint: Endpoint, _ result: Result<[SocketAddress], any Error>
  ) {
    names[index]?.isBeingLookedUp = false
    switch result {
    case .success(let addresses) where !addresses.isEmpty:
      names[index]?.alarm?.cancel()
      let ordered = startingAnywhere(addresses)
      names[index]?.addresses = ordered
      perform(state.resolved(index, to: ordered))
    case .success: notResolved(index, endpoint, "its name has no address")
    case .failure(let error): notResolved(index, endpoint, "\(error)")
    }
  }

  private func notResolved(_ index: Int, _ endpoint: Endpoint, _ reason: String) {
    names[index]?.alarm?.cancel()
    guard state.phase == .resolving, state.endpoint == index else { return }
    let known = names[index]?.addresses ?? []
    log(
      .debug, "cannot look up",
      ["endpoint": "\(endpoint)", "reason": "\(reason)", "known": "\(known.count)"])
    if known.isEmpty {
      failures.note(
        LatchkeyError(.unavailable, "cannot reach \(endpoint): \(reason)"), of: endpoint)
    }
    perform(state.resolved(index, to: known))
  }

  /// Many clients of one name begin with different addresses, where that is asked for; each goes
  /// round in the same order every time.
  private func startingAnywhere(_ addresses: [SocketAddress]) -> [SocketAddress] {
    let start = firstAddress % addresses.count
    return Array(addresses[start...] + addresses[..<start])
  }
}
