import Glibc
import NIOCore
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

@testable import latchkey

@Suite("Command line: bench", .serialized)
struct CLIBenchTests {
  private typealias Fields = [String: Google_Protobuf_Value]

  @Test("A second of load gives figures, and leaves nothing behind")
  func second() async throws {
    try await CLIServer.run { server in
      let result = try await server.run(
        "bench", "--connections", "2", "--streams", "4", "--threads", "2", "--duration", "1s",
        "--warmup", "100ms", "--mix", "claim=1,renew=2,release=1,fetch=1", "-o", "json", "--quiet")
      #expect(result.end == .exited(0))
      #expect(result.errors.isEmpty)
      let report = try fields(result.output)
      let operations = try #require(report["operations"]?.structValue.fields)
      #expect(Set(operations.keys) == ["claim", "renew", "release", "fetch"])
      let total = try #require(report["total"]?.structValue.fields)
      var sum = 0.0
      for operation in operations.values {
        sum += operation.structValue.fields["succeeded"]?.numberValue ?? .nan
      }
      #expect(total["succeeded"]?.numberValue == sum)
      #expect(total["failed"]?.numberValue == 0)
      let latency = try #require(total["latencyMicroseconds"]?.structValue.fields)
      let steps = try ["min", "p50", "p90", "p99", "p999", "max"].map {
        try #require(latency[$0]?.numberValue)
      }
      #expect(steps == steps.sorted())
      #expect(steps[0] > 0)
      #expect(report["keysLeft"]?.numberValue == 0)
      #expect(try await server.run("list", "--kind", "lock").output.count == 1)
    }
  }

  @Test(
    "A number of requests is kept to, and with --keep the keys stay, in every wire version",
    arguments: WireVersions.all.map { $0.number })
  func requests(wire: UInt32) async throws {
    try await CLIServer.run { server in
      let result = try await server.run(
        "bench", "--connections", "3", "--streams", "2", "--requests", "100", "--op", "renew",
        "--keys", "50", "--warmup", "0", "--keep", "--wire", "\(wire)", "-o", "json")
      let report = try fields(result.output)
      #expect(
        report["workload"]?.structValue.fields["wire"]?.numberValue == Double(wire))
      let total = try #require(report["total"]?.structValue.fields)
      #expect(total["succeeded"]?.numberValue == 100)
      #expect(
        try #require(report["operations"]?.structValue.fields).keys.map { $0 } == ["renew"])
      #expect(report["keysLeft"]?.numberValue == 50)
      #expect(try await server.run("list", "--kind", "lock").output.count == 51)
    }
  }

  @Test("A rate spreads the requests evenly and says so")
  func rate() async throws {
    try await CLIServer.run { server in
      let result = try await server.run(
        "bench", "--connections", "2", "--streams", "4", "--requests", "60", "--op", "renew",
        "--keys", "30", "--warmup", "0", "--rate", "1000", "-o", "json")
      let report = try fields(result.output)
      let total = try #require(report["total"]?.structValue.fields)
      #expect(total["succeeded"]?.numberValue == 60)
      #expect(
        report["workload"]?.structValue.fields["ratePerSecond"]?.numberValue == 1_000)
      #expect(report["keysLeft"]?.numberValue == 0)
    }
  }

  @Test("A request is due when its turn is, also where the one before it was late")
  func pace() {
    var pace = Pace(perSecond: 4)
    let start = NIODeadline.uptimeNanoseconds(1_000)
    pace.begin(at: start)
    #expect(pace.take(at: start) == start)
    #expect(pace.take(at: start + .milliseconds(249)) == nil)
    #expect(pace.take(at: start + .milliseconds(600)) == start + .milliseconds(250))
    #expect(pace.take(at: start + .milliseconds(600)) == start + .milliseconds(500))
    #expect(pace.take(at: start + .milliseconds(600)) == nil)
  }

  @Test("Losers of a contention are errors, not throughput")
  func contention() async throws {
    try await CLIServer.run { server in
      let result = try await server.run(
        "bench", "--streams", "8", "--keys", "1", "--op", "claim", "--requests", "2000",
        "--warmup", "0", "-o", "json")
      let total = try #require(try fields(result.output)["total"]?.structValue.fields)
      let lost = try #require(
        total["errors"]?.structValue.fields["already_exists"]?.numberValue)
      #expect(lost > 0)
      #expect(total["failed"]?.numberValue == lost)
      #expect((total["succeeded"]?.numberValue ?? .nan) + lost == 2_000)
    }
  }

  @Test("An interrupted run cleans up and shows what there is")
  func interruption() async throws {
    try await CLIServer.run { server in
      let bench = try server.start("bench", "--duration", "1h", "--warmup", "0")
      defer { bench.signal(SIGKILL) }
      try await bench.errors.line(containing: "/s  errors 0")
      bench.signal(SIGINT)
      #expect(try await bench.exit() == .exited(0))
      let lines = try await bench.output.all()
      #expect(lines.contains { $0.contains("(interrupted)") })
      #expect(lines.contains { $0.hasPrefix("renew ") })
      #expect(lines.contains { $0.hasPrefix("total ") })
      #expect(try await server.run("list", "--kind", "lock").output.count == 1)
    }
  }

  @Test("A server that goes away is counted, and the run ends")
  func serverGone() async throws {
    try await CLIServer.run { server in
      let bench = try server.start(
        "bench", "--duration", "6s", "--warmup", "0", "--timeout", "1s", "-o", "json")
      defer { bench.signal(SIGKILL) }
      try await bench.errors.line(containing: "/s  errors 0")
      server.signal(SIGKILL)
      #expect(try await bench.exit() == .exited(0))
      let report = try fields(try await bench.output.all())
      let errors = try #require(
        report["total"]?.structValue.fields["errors"]?.structValue.fields)
      #expect(errors["connection-closed"]?.numberValue ?? 0 > 0)
      #expect(report["keysLeft"]?.numberValue ?? 0 > 0)
    }
  }

  private func fields(_ lines: [String]) throws -> Fields {
    try Google_Protobuf_Struct(jsonString: lines.joined(separator: "\n")).fields
  }
}
