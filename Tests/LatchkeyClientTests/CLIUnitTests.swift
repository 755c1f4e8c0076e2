import Testing

@testable import latchkey

@Suite("Command line: values")
struct CLIValueTests {
  @Test(
    "A time is read as people write it",
    arguments: [
      ("500ms", Duration.milliseconds(500)), ("15s", .seconds(15)), ("2m", .seconds(120)),
      ("1h", .seconds(3_600)), ("7", .seconds(7)), ("0", .zero), ("1.5s", .milliseconds(1_500)),
      ("0.25h", .seconds(900)), ("1.000001s", .microseconds(1_000_001)),
      ("8760h", .seconds(31_536_000)),
    ])
  func readsTimes(text: String, expected: Duration) {
    #expect(TimeSpan(argument: text)?.duration == expected)
  }

  @Test(
    "What is no time is refused",
    arguments: [
      "", "s", "-1", "+1s", "1d", "1 s", "1.s", ".5s", "1..5s", "1.0000001s", "1e3", "٣s",
      "8760.1h", "99999999999999999999h", "9223372036854775807h", "1S", "ms",
    ])
  func refusesOtherTimes(text: String) {
    #expect(TimeSpan(argument: text) == nil)
  }

  @Test(
    "A time is written in the largest unit without a fraction",
    arguments: ["500ms", "15s", "2m", "1h", "0s", "90s", "1500ms"])
  func writesTimes(text: String) {
    #expect(TimeSpan(argument: text)?.defaultValueDescription == text)
  }

  @Test("A wait may have no limit")
  func readsWaits() {
    #expect(WaitLimit(argument: "forever") == .forever)
    #expect(WaitLimit(argument: "2s") == .span(.seconds(2)))
    #expect(WaitLimit(argument: "never") == nil)
  }

  @Test(
    "A mix names weights, those of claim and release the same",
    arguments: [
      ("claim=1,renew=8,release=1,fetch=0", OperationMix(renew: 8, turnover: 1, fetch: 0)),
      ("fetch=3", OperationMix(renew: 0, turnover: 0, fetch: 3)),
      ("claim=2", OperationMix(renew: 0, turnover: 2, fetch: 0)),
      ("release=2,fetch=1", OperationMix(renew: 0, turnover: 2, fetch: 1)),
      ("claim=1,release=2", nil), ("", nil), ("renew", nil), ("renew=-1", nil), ("renew=0", nil),
      ("steal=1", nil), ("renew=1,renew=1", nil), ("renew=1,", nil), ("renew=99999999", nil),
    ])
  func readsMixes(text: String, expected: OperationMix?) {
    #expect(OperationMix(argument: text) == expected)
  }

  @Test(
    "How a process ended becomes an exit status as in a shell",
    arguments: [
      (Int32(0), ProcessEnd.exited(0), Int32(0)), (7 << 8, .exited(7), 7),
      (15, .killed(signal: 15), 143), (9 | 0x80, .killed(signal: 9), 137),
    ])
  func readsWaitStatus(waitStatus: Int32, end: ProcessEnd, status: Int32) {
    #expect(ProcessEnd(waitStatus: waitStatus) == end)
    #expect(end.exitStatus.rawValue == status)
  }

  @Test("A process of any name is found among the descendants, zombies are not")
  func findsDescendants() throws {
    let lines = [
      "1 (init) S 0 1 1", "20 (latchkey) S 1 20 20", "21 (sh) S 20 20 20",
      "22 (a) b (c) R 21 20 20", "23 (gone) Z 21 20 20", "24 (child of gone) S 23 20 20",
      "30 (other) S 1 30 30",
    ]
    let processes = lines.compactMap { Descendants.Process(stat: $0) }
    #expect(processes.count == lines.count)
    #expect(Descendants.descendants(of: 20, among: processes).map(\.id).sorted() == [21, 22, 24])
    #expect(Descendants.Process(stat: "nonsense") == nil)
    #expect(Descendants.Process(stat: "1 (x)") == nil)
  }

  @Test("The grace before SIGKILL is part of the lease")
  func graceIsBounded() {
    #expect(Supervision.grace(ofLease: .seconds(4)) == .milliseconds(500))
    #expect(Supervision.grace(ofLease: .seconds(3_600)) == Supervision.graceMax)
  }
}

@Suite("Command line: output")
struct CLIOutputTests {
  @Test("Columns are as wide as their widest cell, and no line ends in blanks")
  func alignsColumns() {
    var table = Table([("KEY", .left), ("COUNT", .right), ("VALUE", .left)])
    table.append(["a", "1,000,000", "x"])
    table.append(["long-key", "2", ""])
    #expect(
      table.lines() == [
        "KEY           COUNT  VALUE",
        "a         1,000,000  x",
        "long-key          2",
      ])
  }

  @Test("A value cannot steer the terminal")
  func escapesControls() {
    var table = Table("VALUE")
    table.append(["a\u{1b}[2Jb\nc\u{202e}d\u{85}é"])
    #expect(table.lines()[1] == "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{85}é")
  }

  @Test(
    "A line is cut off at the terminal's width",
    arguments: [
      ("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"),
      ("日本語", 4, "日…"), ("abc", 1, "…"),
    ])
  func clips(text: String, columns: Int, expected: String) {
    #expect(text.clipped(toColumns: columns) == expected)
  }

  @Test("JSON escapes what it must and keeps the order of members")
  func writesJSON() {
    let json = JSON.members(
      ("z", .text("a\"\\\n\t\u{1}é")), ("a", .list([.integer(-1), .number(0.5), .null])),
      ("e", .list([])), ("o", .members()), ("n", .number(.nan)), ("b", .bool(true)))
    #expect(
      json.text == #"""
        {
          "z": "a\"\\\n\t\u0001é",
          "a": [
            -1,
            0.5,
            null
          ],
          "e": [],
          "o": {},
          "n": null,
          "b": true
        }
        """#)
  }

  @Test(
    "Numbers are written for people",
    arguments: [
      (grouped(0), "0"), (grouped(999), "999"), (grouped(1_000), "1,000"),
      (grouped(-1_234_567), "-1,234,567"), (decimal(1.005, digits: 1), "1.0"),
      (decimal(0.05, digits: 2), "0.05"), (decimal(-0.001, digits: 1), "0.0"),
      (decimal(41.7, digits: 0), "42"), (shortTime(nanoseconds: 750), "750 ns"),
      (shortTime(nanoseconds: 999_400), "999 µs"), (shortTime(nanoseconds: 12_340_000), "12.3 ms"),
      (shortTime(nanoseconds: 9.994e6), "9.99 ms"), (shortTime(nanoseconds: 9.996e6), "10.0 ms"),
      (shortTime(nanoseconds: 2e9), "2.00 s"),
    ])
  func writesNumbers(text: String, expected: String) {
    #expect(text == expected)
  }
}

@Suite("Command line: load")
struct CLILoadTests {
  @Test("Percentiles are exact up to their bound")
  func percentiles() throws {
    var generator = SplitMix64(seed: 7)
    // From nanoseconds to minutes, as many in each power of two.
    let values = (0..<20_000).map { _ in
      Int64.random(in: 0..<(1 << Int64.random(in: 1...36, using: &generator)), using: &generator)
    }
    var histogram = LatencyHistogram()
    for value in values { histogram.record(nanoseconds: value) }
    let sorted = values.sorted()
    for quantile in [0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1] {
      let exact = Double(sorted[max(0, Int((quantile * 20_000).rounded(.up)) - 1)])
      let found = Double(try #require(histogram.nanoseconds(atQuantile: quantile)))
      #expect(found >= exact)
      #expect(found <= exact * (1 + LatencyHistogram.relativeErrorMax), "quantile \(quantile)")
    }
    #expect(histogram.minNanoseconds == UInt64(sorted.first!))
    #expect(histogram.maxNanoseconds == UInt64(sorted.last!))
    let mean = try #require(histogram.meanNanoseconds)
    #expect(abs(mean - Double(values.reduce(0, +)) / 20_000) < 1)
  }

  @Test("Merged histograms are as if everything had been recorded in one")
  func merges() {
    var parts = [LatencyHistogram(), LatencyHistogram(), LatencyHistogram()]
    var whole = LatencyHistogram()
    for value in stride(from: Int64(1), to: 1_000_000_000, by: 1_234_567) {
      parts[Int(value % 2)].record(nanoseconds: value)
      whole.record(nanoseconds: value)
    }
    var merged = LatencyHistogram()
    for part in parts { merged.merge(part) }
    #expect(merged == whole)
  }

  @Test("Nothing and the absurd are no crash")
  func extremes() {
    var histogram = LatencyHistogram()
    #expect(histogram.nanoseconds(atQuantile: 0.5) == nil)
    #expect(histogram.meanNanoseconds == nil)
    histogram.record(nanoseconds: -5)
    histogram.record(nanoseconds: .max)
    #expect(histogram.minNanoseconds == 0)
    #expect(histogram.maxNanoseconds == UInt64(Int64.max))
  }

  @Test("Slots share the keys out, and share them only where there are too few")
  func sharesKeys() {
    var workload = Workload(run: "r")
    workload.connections = 2
    workload.streams = 3
    workload.keys = 20
    let shared = (0..<6).flatMap { Array(workload.keys(ofSlot: $0)) }
    #expect(shared.sorted() == Array(0..<20))
    workload.keys = 4
    #expect((0..<6).map { Array(workload.keys(ofSlot: $0)) } == [[0], [1], [2], [3], [0], [1]])
  }

  @Test("A slot only does what the state of its key allows, in the proportions of the mix")
  func followsMix() {
    var workload = Workload(run: "r")
    workload.keys = 3
    var slot = LoadSlot(number: 0, workload: workload)
    let mix = OperationMix(renew: 8, turnover: 1, fetch: 1)
    var held: Set<Int> = []
    var counts: [Operation: Int] = [:]
    for _ in 0..<30_000 {
      let step = slot.nextStep(of: mix)
      counts[step.operation, default: 0] += 1
      #expect((step.operation == .claim) != held.contains(step.index))
      if step.operation == .claim { held.insert(step.index) }
      if step.operation == .release { held.remove(step.index) }
      slot.finished(step, succeeded: true, isAnswered: true)
      #expect(slot.heldCount == held.count)
    }
    let releases = Double(counts[.release]!)
    #expect(abs(Double(counts[.renew]!) / releases - 8) < 1)
    #expect(abs(Double(counts[.fetch]!) / releases - 1) < 0.2)
    #expect(abs(counts[.claim]! - counts[.release]!) <= 3)
  }

  @Test("Where an answer is missing, a key counts as held, so that it is released in the end")
  func doubtMeansHeld() {
    var workload = Workload(run: "r")
    workload.keys = 2
    var slot = LoadSlot(number: 0, workload: workload)
    let claim = slot.nextStep(of: .default)
    slot.finished(claim, succeeded: false, isAnswered: false)
    #expect(slot.heldCount == 1)
    slot.rewind()
    let release = slot.nextStep(toHold: false)
    #expect(release == LoadSlot.Step(operation: .release, index: claim.index))
    slot.finished(release!, succeeded: true, isAnswered: true)
    #expect(slot.heldCount == 0)
    #expect(slot.nextStep(toHold: false) == nil)
  }

  @Test(
    "Points in time and lengths are exact to the millisecond in JSON",
    arguments: [
      (1_795_899_600_000, "1795899600.0"), (1_795_899_600_123, "1795899600.123"), (500, "0.5"),
    ] as [(Int64, String)])
  func seconds(milliseconds: Int64, text: String) {
    #expect(JSON.seconds(.milliseconds(milliseconds)).text == text)
  }
}
