import WireSchema

extension ConnectionInfo {
  init(_ connection: Connection, negotiation: Negotiation, at now: Instant) {
    let place = connection.place
    let range = negotiation.range(of: place.address, offered: connection.offered, at: now)
    let version =
      range.map { negotiation.spoken.newestCommon(with: $0) } ?? negotiation.spoken.newest
    var reason = "this client (\(Release.version)) speaks \(negotiation.spoken), the server "
    if let range {
      reason += "\(range)"
      if connection.offered == nil { reason += " (as its answers say: a proxy hides the rest)" }
    } else {
      reason += "does not say what it speaks"
    }
    if let why = connection.hello?.reason, !why.isEmpty { reason += ": \(why)" }
    self.init(
      endpoint: place.endpoint, address: place.address.ipAddress ?? "",
      serverSoftware: connection.hello.flatMap { $0.software.isEmpty ? nil : $0.software },
      serverID: connection.hello.flatMap { $0.serverID.isEmpty ? nil : $0.serverID },
      serverOldestWire: range?.oldest, serverNewestWire: range?.newest,
      serverFeatures: connection.hello?.features ?? [],
      wireVersion: version,
      reason: reason)
  }
}
