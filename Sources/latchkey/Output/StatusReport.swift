import LatchkeyClient
import WireSchema

/// What `latchkey status` prints.
struct StatusReport {
  var connection: ConnectionInfo
  var status: Latchkey_Fleet_V1_Status

  func print() {
    let server = status.server
    var facts = Table([("", .left), ("", .left)])
    facts.append(["client", "\(Release.version), wire \(WireVersions.spoken)"])
    facts.append(["endpoint", "\(connection.endpoint)"])
    facts.append(["wire in use", "\(wireInUse) (\(connection.reason))"])
    facts.append(["server", "\(server.software), id \(status.serverID)"])
    if !status.readiness.isEmpty {
      facts.append([
        "", "\(status.readiness), up for \(uptime), since \(status.startedAt)",
      ])
    }
    facts.append([
      "server speaks",
      "wire \(range(server.wireOldest, server.wireNewest)), "
        + "shape \(range(server.shapeOldest, server.shapeNewest))",
    ])
    if status.wireOfferedNewest > 0 {
      facts.append([
        "server offers",
        "wire \(range(status.wireOfferedOldest, status.wireOfferedNewest)) (\(status.wireReason))",
      ])
    }
    if status.hasCertificate {
      facts.append([
        "certificate",
        "\(status.certificate.name), until \(status.certificate.validUntil) (\(daysLeft))",
      ])
      if !status.certificate.refusal.isEmpty {
        facts.append(["", "NEW ONE NOT USED: \(status.certificate.refusal)"])
      }
    }
    if status.hasAccess {
      facts.append([
        "policy", status.access.hasPolicy_p ? "in force" : "none: everybody may do everything",
      ])
      for remark in status.access.remarks { facts.append(["", "NOT HELD: \(remark)"]) }
      for refusal in status.access.refusals { facts.append(["", "NEW FILE NOT USED: \(refusal)"]) }
    }
    facts.append(["store", status.store.location])
    if !status.store.id.isEmpty {
      let since = status.store.madeAt.isEmpty ? "made before 0.6.0" : "made \(status.store.madeAt)"
      facts.append(["store id", "\(status.store.id), \(since)"])
    }
    for remark in status.store.remarks { facts.append(["", remark]) }
    if !status.store.failure.isEmpty {
      let since = status.store.failingSince.isEmpty ? "" : " since \(status.store.failingSince)"
      facts.append(["", "NOT USABLE\(since): \(status.store.failure)"])
    } else if !status.store.latestFailure.isEmpty {
      facts.append([
        "", "failed last at \(status.store.latestFailureAt): \(status.store.latestFailure)",
      ])
    }
    // Of a store that is away nothing is told.
    if status.store.newestShape > 0 { addContents(to: &facts) }
    facts.print()

    guard !status.fleet.isEmpty else { return }
    printFleet()
  }

  private var uptime: String {
    let seconds = status.uptimeSeconds
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60)
    if days > 0 { return "\(days) d \(hours) h" }
    if hours > 0 { return "\(hours) h \(minutes) min" }
    return minutes > 0 ? "\(minutes) min" : "\(seconds) s"
  }

  private var daysLeft: String {
    switch status.certificate.daysLeft {
    case ..<0: "EXPIRED"
    case 1: "1 day left"
    case let days: "\(days) days left"
    }
  }

  private func addContents(to facts: inout Table) {
    facts.append([
      "store shapes",
      "newest \(status.store.newestShape), oldest maintained \(status.store.oldestShape)",
    ])
    if status.store.backfillRow > 0 {
      facts.append([
        "backfill", "row \(status.store.backfillRow) of \(status.store.lastRow)",
      ])
    }
    for reason in status.store.waiting { facts.append(["", reason]) }
    facts.append(["token floor", "\(status.store.tokenFloor)"])
    facts.append(["locks", "\(status.store.locks)"])
    facts.append([
      "presences", "\(status.store.presences), \(status.fleet.count) of them servers",
    ])
  }

  private func printFleet() {
    StandardOutput.line("")
    var fleet = Table("SERVER", "RUN", "SOFTWARE", "WIRE", "SHAPE", "KEEPS", "LISTEN")
    for entry in status.fleet {
      let presence = entry.presence
      fleet.append([
        entry.serverID, entry.run, presence.software,
        range(presence.wireOldest, presence.wireNewest),
        range(presence.shapeOldest, presence.shapeNewest),
        kept(by: presence),
        presence.listen,
      ])
    }
    fleet.print()
  }

  var json: JSON {
    .members(
      (
        "client",
        .members(("software", .text(Release.version)), ("wire", range(WireVersions.spoken)))
      ),
      (
        "connection",
        .members(
          ("endpoint", .text("\(connection.endpoint)")),
          ("wire", .integer(connection.wireVersion)),
          ("reason", .text(connection.reason)),
          ("features", .list(connection.serverFeatures.map { JSON.text($0) })))
      ),
      (
        "server",
        .object(
          [JSON.Member("id", .text(status.serverID))] + members(of: status.server)
            + [
              JSON.Member("offers", range(status.wireOfferedOldest, status.wireOfferedNewest)),
              JSON.Member("offerReason", .text(status.wireReason)),
              JSON.Member("readiness", .said(status.readiness)),
              JSON.Member("startedAt", .said(status.startedAt)),
              JSON.Member(
                "uptimeSeconds", .integer(status.startedAt.isEmpty ? nil : status.uptimeSeconds)),
              JSON.Member("settings", settings),
            ])
      ),
      ("certificate", status.hasCertificate ? certificate : .null),
      (
        "policy",
        status.hasAccess
          ? .members(
            ("inForce", .bool(status.access.hasPolicy_p)),
            ("remarks", .list(status.access.remarks.map { JSON.text($0) })),
            ("refusals", .list(status.access.refusals.map { JSON.text($0) }))) : .null
      ),
      (
        "store",
        .members(
          ("location", .text(status.store.location)),
          ("id", .said(status.store.id)),
          ("madeAt", .said(status.store.madeAt)),
          ("failure", .said(status.store.failure)),
          ("failingSince", .said(status.store.failingSince)),
          ("latestFailure", .said(status.store.latestFailure)),
          ("latestFailureAt", .said(status.store.latestFailureAt)),
          ("remarks", .list(status.store.remarks.map { JSON.text($0) })),
          ("shape", range(status.store.oldestShape, status.store.newestShape)),
          ("filledShape", .integer(status.store.filledShape)),
          ("backfillRow", .integer(status.store.backfillRow > 0 ? status.store.backfillRow : nil)),
          ("lastRow", .integer(status.store.lastRow)),
          ("waiting", .list(status.store.waiting.map { JSON.text($0) })),
          ("tokenFloor", .integer(status.store.tokenFloor)),
          ("locks", .integer(status.store.locks)),
          ("presences", .integer(status.store.presences)))
      ),
      (
        "fleet",
        .list(
          status.fleet.map {
            .object(
              [JSON.Member("id", .text($0.serverID)), JSON.Member("run", .text($0.run))]
                + members(of: $0.presence))
          })
      ))
  }

  private var settings: JSON {
    .list(
      status.settings.map {
        .members(
          ("name", .text($0.name)), ("value", .text($0.value)), ("source", .text($0.source)))
      })
  }

  private var certificate: JSON {
    .members(
      ("name", .text(status.certificate.name)),
      ("validUntil", .text(status.certificate.validUntil)),
      ("daysLeft", .integer(status.certificate.daysLeft)),
      ("refusal", .text(status.certificate.refusal)))
  }

  private func members(of presence: Latchkey_Fleet_V1_ServerPresence) -> [JSON.Member] {
    [
      JSON.Member("software", .text(presence.software)),
      JSON.Member("wire", range(presence.wireOldest, presence.wireNewest)),
      JSON.Member("shape", range(presence.shapeOldest, presence.shapeNewest)),
      JSON.Member("shapeKept", .integer(presence.shapeKept)),
      JSON.Member("listen", .text(presence.listen)),
    ]
  }

  /// Servers before 0.3 know one shape and do not say so. They also leave out what newer ones say, when asked.
  private func kept(by presence: Latchkey_Fleet_V1_ServerPresence) -> String {
    switch (presence.shapeKept, presence.shapeNewest) {
    case (0, 1): "1"
    case (0, _): "-"
    case (let kept, _): "\(kept)"
    }
  }

  private var wireInUse: String { connection.wireVersion.map { "\($0)" } ?? "none" }

  private func range(_ oldest: UInt32, _ newest: UInt32) -> String {
    oldest == newest ? "\(oldest)" : "\(oldest)-\(newest)"
  }

  private func range(_ oldest: UInt32, _ newest: UInt32) -> JSON {
    .members(("oldest", .integer(oldest)), ("newest", .integer(newest)))
  }

  private func range(_ wire: WireRange) -> JSON { range(wire.oldest, wire.newest) }
}
