import Access
package import Files
import Glibc
import LockCore
package import Logging
import Storage
import Exclusion
import struct Synchronization.Atomic
import WireSchema

/// An account of who did what to which key, as lines of JSON: in a file that only grows, or at stderr.
///
/// Nobody waits for it, and what cannot be written, such as to a full disk, is kept until it can, up to 1 MiB. Where
/// it is required, what is done is answered only when it is written, and where it cannot be, nothing is granted or given
/// back: only leases are renewed, and end.
package final class AuditLog: Sendable {
  /// Of denials of those who are known so many are written in a second; the others are counted.
  static let denialsOfSecondMax: Int64 = 100
  /// The same of those who are not: they take no room from the others, and fill no disk in a day.
  static let denialsOfNobodyMax: Int64 = 20
  /// Lines that wait to be written where they are required: more than are made while nothing is granted.
  private static let requiredBytesMax = 64 << 20
  /// How long what is done waits to be written, where that is required.
  private static let patienceNanoseconds: Int64 = 1_000_000_000
  /// Stands for stderr in the place of a path.
  package static let stderr = "-"

  private let path: String
  private let serverID: String
  private let isRequired: Bool
  private let writer: LineWriter
  private let logger: Logger
  private let denials = Mutex(SecondBound())
  private let denialsOfNobody = Mutex(SecondBound())
  /// Whether what is written took too long, and is not written yet.
  private let isStuck = Atomic<Bool>(false)

  /// Opens the file, which is made where it is missing.
  ///
  /// - Parameters:
  ///   - path: ``stderr`` for that.
  ///   - serverID: The server that is told of: lines of several may come together.
  ///   - isRequired: Whether what cannot be written must not be done.
  package init(
    _ path: String, of serverID: String, isRequired: Bool, logger: Logger
  ) throws(FileError) {
    self.path = path
    self.serverID = serverID
    self.isRequired = isRequired
    self.logger = logger
    let reopen: (@Sendable () -> Int32?)? =
      path == Self.stderr ? nil : { @Sendable in Self.descriptor(of: path) }
    writer = LineWriter(
      path == Self.stderr ? STDERR_FILENO : try Self.open(path),
      queueBytesMax: isRequired ? Self.requiredBytesMax : LineWriter.queueBytesMax,
      keepsTrying: true, reopen: reopen
    ) {
      var line = JSONLine("dropped", at: serverID)
      line.add("lines", Int64($0))
      return line.ended
    }
    writer.reportFailure { [logger] failure in
      guard let failure else {
        return logger.notice("the audit log is written again", metadata: ["path": "\(path)"])
      }
      let meanwhile =
        isRequired
        ? "nothing is granted or released until it can"
        : "what happens is kept until it can, up to 1 MiB"
      logger.error(
        "the audit log cannot be written; \(meanwhile)",
        metadata: ["path": "\(path)", "error": "\(Self.words(for: failure))"])
    }
  }

  private static func open(_ path: String) throws(FileError) -> Int32 {
    guard let file = descriptor(of: path) else {
      throw FileError("cannot write \(path): \(String(cString: strerror(errno)))")
    }
    return file
  }

  /// - Returns: Nil where it cannot be opened, which `errno` tells of.
  private static func descriptor(of path: String) -> Int32? {
    // A pipe that nobody reads holds up nobody.
    let flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK
    let file = Glibc.open(path, flags, 0o600)
    guard file >= 0 else { return nil }
    // What was broken off in the middle of a line, as on a full disk, is a line of its own.
    var (status, last) = (stat(), UInt8(ascii: "\n"))
    if fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0,
      pread(file, &last, 1, off_t(status.st_size - 1)) == 1, last != UInt8(ascii: "\n")
    {
      _ = Glibc.write(file, "\n", 1)
    }
    return file
  }

  /// Goes on in a new file of the same name, where the one before was moved away. May block.
  func reopen() {
    guard path != Self.stderr else { return }
    do throws(FileError) {
      writer.replace(with: try Self.open(path))
    } catch {
      logger.error(
        "the audit log goes on in the file before", metadata: ["reason": "\(error.description)"])
    }
  }

  /// Has `body` told of lines that there was no room for.
  func reportDrops(to body: @escaping @Sendable (Int) -> Void) { writer.reportDrops(to: body) }

  @discardableResult
  func flush(nanoseconds: Int64) -> Bool { writer.flush(nanoseconds: nanoseconds) }

  /// Why nothing is granted or given back at the moment; nil where it is.
  var refusal: StoreError? {
    guard isRequired else { return nil }
    if let failure = writer.failure {
      return StoreError(
        .unavailable, "the audit log cannot be written: \(Self.words(for: failure))")
    }
    guard isStuck.load(ordering: .relaxed) else { return nil }
    if writer.flush(nanoseconds: 0) {
      isStuck.store(false, ordering: .relaxed)
      return nil
    }
    return StoreError(.unavailable, "the audit log takes too long to be written")
  }

  private static func words(for failure: Int32) -> String {
    // A pipe takes no more.
    failure == EAGAIN ? "nobody reads it" : String(cString: strerror(failure))
  }

  // MARK: - What happens

  /// On a thread of the store, which waits where the log is required.
  ///
  /// - Returns: Whether what was done may be told to those who asked for it.
  func note(_ events: [GrantEvent], isCertain: Bool) -> Bool {
    let now = JSONLine.now
    var isAnything = false
    // What is lost was ended or released before, which is there already.
    for event in events where event.what != .lost && !ReservedKeys.contains(event.key) {
      isAnything = true
      writer.write(line(event, isCertain: isCertain, at: now))
    }
    guard isRequired, isAnything else { return true }
    // What fails is tried again each second: it is not waited for.
    guard refusal == nil else { return false }
    let isWritten = writer.flush(nanoseconds: Self.patienceNanoseconds)
    if !isWritten { isStuck.store(true, ordering: .relaxed) }
    return isWritten
  }

  private func line(_ event: GrantEvent, isCertain: Bool, at now: timespec) -> [UInt8] {
    var line = JSONLine(event.what.rawValue, at: serverID, now)
    if !isCertain { line.add("uncertain", true) }
    if event.isBreak { line.add("break", true) }
    line.add("key", event.key)
    if let holder = event.holder {
      line.add("kind", holder.kind == .lock ? "lock" : "presence")
      line.add("owner", holder.owner)
    }
    line.add("token", event.token)
    line.add("identity", event.holder?.identity ?? "")
    if let caller = event.caller {
      line.add("by", caller.identity)
      line.add("peer", caller.origin?.peer ?? "")
      line.add("requestId", caller.origin?.requestID ?? "")
    }
    return line.ended
  }

  /// - Parameter key: Empty where it is not known, or not one.
  func refused(_ error: RPCError, key: String, to asker: Asker?, from origin: CallOrigin) {
    let now = JSONLine.now
    let leftOut =
      asker?.identity == nil
      ? denialsOfNobody.withLock { $0.take(at: now.tv_sec, max: Self.denialsOfNobodyMax) }
      : denials.withLock { $0.take(at: now.tv_sec, max: Self.denialsOfSecondMax) }
    guard let leftOut else { return }
    var line = JSONLine("denied", at: serverID, now)
    line.add("code", error.code.rawValue)
    line.add("key", key)
    line.add("reason", LineLog.text(error.message))
    line.add("by", asker?.identity?.name ?? "")
    line.add("peer", origin.peer)
    line.add("requestId", origin.requestID)
    if leftOut > 0 { line.add("leftOutBefore", leftOut) }
    writer.write(line.ended)
  }

  /// Of the server itself: that it begins or ends, and what it reads anew.
  func changed(_ what: String, _ facts: Logger.Metadata) {
    var line = JSONLine(what, at: serverID)
    for (name, fact) in facts.sorted(by: { $0.key < $1.key }) {
      line.add(name, LineLog.text("\(fact)"))
    }
    writer.write(line.ended)
  }
}

extension JSONLine {
  /// - Parameters:
  ///   - event: What happened, in a word.
  ///   - server: Where.
  fileprivate init(_ event: String, at server: String, _ time: timespec = Self.now) {
    self.init(at: time)
    add("event", event)
    add("server", server)
  }
}
