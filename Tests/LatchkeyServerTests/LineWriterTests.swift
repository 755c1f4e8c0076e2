import Glibc
import LockContent
import Logging
import Exclusion
import struct Synchronization.Atomic
import TestKit
import Testing

@testable import LatchkeyServer

/// Nobody waits for who reads the log, and nothing that is logged is more than its line.
@Suite struct LineWriterTests {
  /// A pipe as somebody else made it.
  private final class Pipe {
    private(set) var readEnd: Int32 = -1
    let writeEnd: Int32

    init() throws {
      var ends: [Int32] = [0, 0]
      let code = pipe(&ends)
      try #require(code == 0)
      (readEnd, writeEnd) = (ends[0], ends[1])
    }

    /// Reads until a line contains `text`.
    func lines(until text: String) -> [String] {
      var bytes: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = read(readEnd, &buffer, buffer.count)
        guard count > 0 else { return [] }
        bytes += buffer[..<count]
        let whole = String(decoding: bytes, as: UTF8.self)
        if bytes.last == UInt8(ascii: "\n"), whole.contains(text) {
          return whole.split(separator: "\n").map { String($0) }
        }
      }
    }

    func closeReadEnd() {
      close(readEnd)
      readEnd = -1
    }

    deinit {
      if readEnd >= 0 { close(readEnd) }
    }
  }

  @Test func linesComeInOrder() throws {
    let pipe = try Pipe()
    let writer = LineWriter(pipe.writeEnd)
    for number in 0..<100 { writer.write("line \(number)") }
    #expect(pipe.lines(until: "line 99") == (0..<100).map { "line \($0)" })
    #expect(writer.flush(nanoseconds: 60_000_000_000))
  }

  @Test func whatNobodyReadsIsDroppedAndCounted() throws {
    let pipe = try Pipe()
    let flags = fcntl(pipe.writeEnd, F_GETFL)
    let writer = LineWriter(pipe.writeEnd)
    let dropped = Atomic<Int>(0)
    let text = String(repeating: "x", count: 1_000)
    // More than the pipe and the queue take. None of this waits.
    let count = 6 * LineWriter.queueBytesMax / text.utf8.count
    for number in 0..<count {
      if number == count / 2 {
        writer.reportDrops { dropped.wrappingAdd($0, ordering: .relaxed) }
      }
      writer.write("\(number) \(text)")
    }
    #expect(!writer.flush(nanoseconds: 1_000_000))
    let lost = dropped.load(ordering: .relaxed)
    #expect(lost > count / 2 && lost < count)
    #expect(fcntl(pipe.writeEnd, F_GETFL) == flags)

    // Somebody reads again: the next line that gets through says how many are missing.
    var lines: [String] = []
    while true {
      lines += pipe.lines(until: "\n")
      writer.write("the next line")
      if writer.flush(nanoseconds: 10_000_000) { break }
    }
    // Once.
    writer.write("the last line")
    lines += pipe.lines(until: "the last line")
    let notices = lines.filter { $0.contains("lines were dropped here") }
    let told = notices.compactMap { Int($0.dropFirst().prefix { $0.isNumber }) }.reduce(0, +)
    #expect(!notices.isEmpty && told == dropped.load(ordering: .relaxed))
  }

  /// Whoever shares the pipe may have made it non-blocking.
  @Test func aPipeThatIsFullForNowLosesNothing() throws {
    let pipe = try Pipe()
    #expect(fcntl(pipe.writeEnd, F_SETFL, O_NONBLOCK) == 0)
    let writer = LineWriter(pipe.writeEnd)
    let text = String(repeating: "x", count: 1_000)
    // More than the pipe takes, and less than the queue.
    for number in 0..<500 { writer.write("\(number) \(text)") }
    try #require(!writer.flush(nanoseconds: 200_000_000))
    #expect(pipe.lines(until: "499 ") == (0..<500).map { "\($0) \(text)" })
    #expect(writer.flush(nanoseconds: 60_000_000_000))
  }

  @Test func aPipeWithoutAReaderLosesItsLines() throws {
    signal(SIGPIPE, SIG_IGN)
    let pipe = try Pipe()
    pipe.closeReadEnd()
    let writer = LineWriter(pipe.writeEnd)
    let dropped = Atomic<Int>(0)
    writer.reportDrops { dropped.wrappingAdd($0, ordering: .relaxed) }
    writer.write("one")
    #expect(writer.flush(nanoseconds: 60_000_000_000))
    #expect(dropped.load(ordering: .relaxed) == 1)
  }

  // MARK: - Lines

  private static func line(
    _ message: String, _ metadata: Logger.Metadata = [:], _ format: LogFormat = .text,
    isForJournal: Bool = false
  ) -> String {
    let written = Mutex<[String]>([])
    let style = LineLog.Style(format, server: "a", isForJournal: isForJournal)
    let logger = Logger(label: "l") { _ in
      LineLog(style) { line in
        written.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
      }
    }
    logger.notice("\(message)", metadata: metadata)
    return written.withLock { $0 }.joined(separator: "|")
  }

  @Test(
    "controls are written out",
    arguments: [
      ("plain", "plain", "plain"), ("é字🔒", "é字🔒", "é字🔒"), ("a\nb", "a\\nb", #""a\u000ab""#),
      ("a\r\nb", "a\\r\\nb", #""a\u000d\u000ab""#), ("\t", "\\t", #""\u0009""#),
      ("\u{1B}[31m", "\\u{1b}[31m", #""\u001b[31m""#),
      ("\u{7F}\u{9B}", "\\u{7f}\\u{9b}", #""\u007f\u009b""#),
      ("\u{2028}\u{202E}", "\\u{2028}\\u{202e}", #""\u2028\u202e""#),
      ("\0", "\\u{0}", #""\u0000""#), ("a b", "a b", #""a b""#),
      ("a\"\u{315}", "a\"\u{315}", "\"a\\\"\u{315}\""),
      ("a\\", "a\\", #""a\\""#), ("", "", #""""#),
    ])
  func controls(_ text: String, _ shown: String, _ value: String) {
    #expect(Self.line(text).hasSuffix("Z notice [a] \(shown)"))
    #expect(Self.line("m", ["software": "\(text)"]).hasSuffix("Z notice [a] m: software=\(value)"))
    #expect(
      Self.line("m", ["software": "\(text)"], .logfmt)
        .hasSuffix("Z level=notice server=a msg=m software=\(value)"))
    for format in LogFormat.allCases {
      let line = Self.line(text, ["software": "\(text)", "\(text)": "x"], format)
      #expect(!line.utf8.contains { $0 < 0x20 || $0 == 0x7f })
    }
  }

  @Test(arguments: ["plain", "a\nb \"c\" \\", "\u{202E}🔒\u{315}"])
  func linesForProgramsAreJSON(_ text: String) throws {
    let line = Self.line(text, ["key": "\(text)", "server": "other", "time": "never"], .json)
    let values = try #require(Attributes(exactly: line), "\(line)").values
    #expect(values["message"] == .string(text) && values["key"] == .string(text))
    #expect(values["server"] == "a" && values["_server"] == "other" && values["_time"] == "never")
    #expect(values["level"] == "notice")
  }

  /// As sd-daemon(3) has it: the journal keeps the time itself.
  @Test func aJournalIsToldTheLevel() {
    #expect(Self.line("m", ["a": "b"], isForJournal: true) == "<5>[a] m: a=b")
    #expect(Self.line("m", [:], .json, isForJournal: true).hasPrefix("<5>{\"time\":"))
  }

  @Test func textsAreBounded() {
    for text in [String(repeating: "x", count: 100_000), "x" + Marks.run(100_000)] {
      let line = Self.line(text, ["a": "\(text)"])
      #expect(line.utf8.count < 2 * LineLog.textBytesMax + 100)
      #expect(line.hasSuffix("…") || line.hasSuffix("…\""))
    }
    // Whole characters.
    #expect(
      LineLog.text(String(repeating: "🔒", count: 300)) == String(repeating: "🔒", count: 256) + "…")
  }
}
