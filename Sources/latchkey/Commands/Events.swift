import ArgumentParser
import LatchkeyClient
import WireSchema

/// `latchkey events`: what happened lately.
struct EventsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events",
    abstract: "Shows what happened lately: who was granted what, who freed it, whose lease ended.",
    discussion: """
      Each server remembers the last 1,000 events of its own since it was started: name all of them (--server a,b).

        latchkey events nightly
        latchkey events --output json | jq '.[] | select(.event == "ended")'

      granted, renewed (by another than whose it is), released, ended (the lease was over), lost (somebody wanted to keep \
      what was not theirs any more), put-back (the database had lost it), denied; and started and what else became of the \
      server itself.

      JSON: a list of objects, the oldest first, with time, event, server, key, kind, owner, token, identity, by, peer, \
      requestId, break, uncertain, reason, facts; null where there is nothing to say.

      EXIT CODES: 0; 69 a server cannot be reached; 77 it is not allowed; 64 usage.
      """)

  @Argument(help: "Only what was about this key.")
  var key: String?

  @Option(help: ArgumentHelp("At most so many of each server, the latest.", valueName: "count"))
  var limit = 100

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    if !(1...1_000).contains(limit) { throw ValidationError("--limit must be 1 to 1000.") }
  }

  func run() async throws {
    var events: [Latchkey_Fleet_V1_Event] = []
    for endpoint in try connection.endpoints() {
      events += try await connection.withClient(at: endpoint) { client in
        try await client.events(of: key, max: limit).events
      }
    }
    events.sort { $0.time < $1.time }
    switch output.output {
    case .table: Self.table(events).print()
    case .json: StandardOutput.line(JSON.list(events.map(\.shown)).text)
    }
  }

  private static func table(_ events: [Latchkey_Fleet_V1_Event]) -> Table {
    var table = Table("TIME", "EVENT", "KEY", "OWNER", "TOKEN", "BY", "PEER", "SERVER", "WHY")
    for event in events {
      let facts = event.facts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      let marks = (event.isBreak ? ["break"] : []) + (event.isUncertain ? ["uncertain"] : [])
      table.append([
        event.time, event.event, event.key, event.owner, event.token > 0 ? "\(event.token)" : "",
        event.by, event.peer, event.serverID,
        (marks + [event.reason].filter { !$0.isEmpty } + facts).joined(separator: " "),
      ])
    }
    return table
  }
}

extension Latchkey_Fleet_V1_Event {
  /// What is not said is null.
  fileprivate var shown: JSON {
    .members(
      ("time", .text(time)), ("event", .text(event)), ("server", .text(serverID)),
      ("key", .said(key)), ("kind", .said(kind)), ("owner", .said(owner)),
      ("token", token > 0 ? .integer(token) : .null), ("identity", .said(identity)),
      ("by", .said(by)), ("peer", .said(peer)), ("requestId", .said(requestID)),
      ("break", .bool(isBreak)), ("uncertain", .bool(isUncertain)), ("reason", .said(reason)),
      (
        "facts",
        facts.isEmpty
          ? .null
          : .object(
            facts.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .text($0.value)) })
      ))
  }
}
