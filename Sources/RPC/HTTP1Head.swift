import HTTP2

/// Why a request of HTTP/1.1 is answered before it is handed on. The connection ends with it.
enum HTTP1Refusal: Error, Equatable {
  /// 400. A proxy in front might see another request than this server.
  case malformed
  /// 431.
  case headersTooLarge
  /// 413.
  case bodyTooLarge
  /// 429: what is arriving takes all the room there is.
  case noRoom
  /// 501: the body has been through more than chunks (RFC 9112 6.1).
  case transferCoding
}

/// What stands in front of a request's body, as it comes in line by line (RFC 9112 3 and 5).
struct HTTP1Head {
  /// What says where the body ends.
  enum Framing: Equatable {
    case length(Int)
    case chunks
  }

  /// As HTTP/2 would have it: pseudo fields first, names in lower case.
  private(set) var block = HeaderBlock()
  /// Whether it is of HTTP/1.0, where keeping the connection has to be said.
  private(set) var isOld = false
  private(set) var isHead = false
  /// Whether the client waits to be told to send the body.
  private(set) var expectsContinue = false
  private var isConnect = false
  private var hosts = 0
  private var length: Int?
  private var codings = TransferCodings()
  private var saysClose = false
  private var saysKeepAlive = false

  /// After CONNECT there is nothing to go on with: what follows would be the tunnel's. An upgrade
  /// that is offered is not taken (RFC 9110 7.8), and changes nothing.
  var isKeptAlive: Bool { !isConnect && !saysClose && (!isOld || saysKeepAlive) }

  /// Reads the request line.
  ///
  /// - Returns: How many bytes of it count for the list's bound.
  mutating func begin(_ line: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Int {
    // The target has no blanks, so there are two: one behind the method, one before the version.
    guard let first = line.firstIndex(of: Byte.space),
      let last = line.lastIndex(of: Byte.space), last > first + 1
    else { throw .malformed }
    let method = UnsafeRawBufferPointer(rebasing: line[..<first])
    let target = UnsafeRawBufferPointer(rebasing: line[(first + 1)..<last])
    isOld = try Self.isOld(UnsafeRawBufferPointer(rebasing: line[(last + 1)...]))
    guard Self.methods.contains(where: { method.equals($0) }),
      target.allSatisfy({ $0 > Byte.space && $0 < Byte.delete })
    else { throw .malformed }
    isConnect = method.equals("CONNECT")
    isHead = method.equals("HEAD")
    guard let path = Self.path(of: target, isConnect: isConnect) else { throw .malformed }
    block.append(":method", method)
    block.append(":path", path)
    return path.count
  }

  private static func isOld(_ version: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Bool {
    if version.equals("HTTP/1.1") { return false }
    guard version.equals("HTTP/1.0") else { throw .malformed }
    return true
  }

  /// The path of a target: `/path`, `*`, or what is behind the host in the absolute form that
  /// proxies send (RFC 9112 3.2). A CONNECT has a host and a port. Nil for anything else.
  private static func path(
    of target: UnsafeRawBufferPointer, isConnect: Bool
  ) -> UnsafeRawBufferPointer? {
    if isConnect || target.first == Byte.slash || target.equals("*") { return target }
    for scheme in ["http://", "https://"] where target.starts(with: scheme.utf8) {
      let rest = target.dropFirst(scheme.utf8.count)
      guard let slash = rest.firstIndex(of: Byte.slash) else { return UnsafeRawBufferPointer("/") }
      return UnsafeRawBufferPointer(rebasing: rest[slash...])
    }
    return isAbsolute(target) ? target : nil
  }

  /// Whether `target` begins with any scheme (RFC 3986 3.1): there is nothing at such a path.
  private static func isAbsolute(_ target: UnsafeRawBufferPointer) -> Bool {
    let scheme = target.prefix { $0 != UInt8(ascii: ":") }
    return !scheme.isEmpty && scheme.allSatisfy(Byte.isLetter)
      && target[scheme.endIndex...].starts(with: "://".utf8)
  }

  /// The methods that HTTP knows (IANA's registry, and a few that were never in it). A name that
  /// nobody knows is more likely no request at all.
  private static let methods: [StaticString] = [
    "POST", "GET", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "ACL",
    "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR",
    "MKCOL", "MOVE", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH",
    "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
  ]

  /// Reads one field.
  ///
  /// - Returns: How many bytes of it count for the list's bound.
  mutating func add(_ line: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Int {
    let (name, value) = try Self.field(line)
    // Lower case, as HTTP/2 has it.
    let refusal = withUnsafeTemporaryAllocation(byteCount: name.count, alignment: 1) {
      lower -> HTTP1Refusal? in
      for (index, byte) in name.enumerated() { lower[index] = Byte.lowerCase(byte) }
      let lower = UnsafeRawBufferPointer(lower)
      block.append(lower, value)
      do throws(HTTP1Refusal) {
        try note(lower, value)
        return nil
      } catch {
        return error
      }
    }
    if let refusal { throw refusal }
    return name.count + value.count
  }

  /// Name and value of a field, without the blanks around the value. A blank in front of the colon,
  /// or of the line, is what requests are smuggled with (RFC 9112 5.1 and 5.2).
  static func field(
    _ line: UnsafeRawBufferPointer
  ) throws(HTTP1Refusal) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
      line[..<colon].allSatisfy(Byte.isToken)
    else { throw .malformed }
    var value = line[(colon + 1)...]
    while let byte = value.first, Byte.isBlank(byte) { value.removeFirst() }
    while let byte = value.last, Byte.isBlank(byte) { value.removeLast() }
    return (
      UnsafeRawBufferPointer(rebasing: line[..<colon]), UnsafeRawBufferPointer(rebasing: value)
    )
  }

  /// Looks at the fields that say something about the message itself.
  private mutating func note(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) throws(HTTP1Refusal) {
    if name.equals("host") {
      hosts += 1
    } else if name.equals("content-length") {
      guard length == nil else { throw .malformed }
      length = try Self.length(value)
    } else if name.equals("transfer-encoding") {
      try codings.add(value)
    } else if name.equals("connection") {
      for option in value.split(separator: UInt8(ascii: ",")) {
        if Byte.isWord(option, "close") { saysClose = true }
        if Byte.isWord(option, "keep-alive") { saysKeepAlive = true }
      }
    } else if name.equals("expect") {
      expectsContinue = !isOld && Byte.isWord(value[...], "100-continue")
    }
  }

  /// Digits and nothing else: no sign, no list. More than an `Int` holds is the largest `Int`.
  private static func length(_ value: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Int {
    guard !value.isEmpty else { throw .malformed }
    var length = 0
    var isHuge = false
    for byte in value {
      guard Byte.isDigit(byte) else { throw .malformed }
      let (tens, isTooLong) = length.multipliedReportingOverflow(by: 10)
      let (sum, isTooMuch) = tens.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
      isHuge = isHuge || isTooLong || isTooMuch
      if !isHuge { length = sum }
    }
    return isHuge ? .max : length
  }

  /// Judges the head as a whole, when all of it is there (RFC 9112 3.2 and 6.3).
  func framing(bodyBytesMax: Int) throws(HTTP1Refusal) -> Framing {
    if codings.areThere {
      // HTTP/1.0 knows no chunks, and two ways to say where the body ends may differ.
      guard !isOld, length == nil else { throw .malformed }
      try codings.check()
    }
    guard (length ?? 0) <= bodyBytesMax else { throw .bodyTooLarge }
    // Without a host, or with several, a proxy may see another request than this server.
    guard isOld || hosts == 1 else { throw .malformed }
    if isConnect { return .length(0) }
    return codings.areThere ? .chunks : .length(length ?? 0)
  }
}

/// What Transfer-Encoding lists, in one field or several.
private struct TransferCodings {
  private(set) var areThere = false
  private var isChunkedLast = false
  private var chunked = 0
  private var others = 0

  mutating func add(_ value: UnsafeRawBufferPointer) throws(HTTP1Refusal) {
    areThere = true
    for coding in value.split(separator: UInt8(ascii: ",")) {
      isChunkedLast = Byte.isWord(coding, "chunked")
      if isChunkedLast {
        chunked += 1
      } else if !coding.allSatisfy(Byte.isBlank) {
        others += 1
      }
    }
  }

  /// Chunks are the one thing that is undone, and they have to be the outermost, once.
  func check() throws(HTTP1Refusal) {
    guard isChunkedLast, chunked == 1 else { throw .malformed }
    guard others == 0 else { throw .transferCoding }
  }
}

/// The classes of bytes that RFC 9110 5.6 names.
enum Byte {
  static let space = UInt8(ascii: " "), tab = UInt8(ascii: "\t")
  static let carriageReturn = UInt8(ascii: "\r"), lineFeed = UInt8(ascii: "\n")
  static let slash = UInt8(ascii: "/"), delete: UInt8 = 0x7f

  static func isBlank(_ byte: UInt8) -> Bool { byte == space || byte == tab }
  static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
  static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- UInt8(ascii: "a") < 26 }

  static func lowerCase(_ byte: UInt8) -> UInt8 {
    byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
  }

  static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"), UInt8(ascii: "*"),
      UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "^")...UInt8(ascii: "`"),
      UInt8(ascii: "|"), UInt8(ascii: "~"):
      true
    default: isLetter(byte) || isDigit(byte)
    }
  }

  /// Whether `bytes` are `word`, in any case and with blanks around it.
  static func isWord(_ bytes: Slice<UnsafeRawBufferPointer>, _ word: String) -> Bool {
    var bytes = bytes
    while let byte = bytes.first, isBlank(byte) { bytes.removeFirst() }
    while let byte = bytes.last, isBlank(byte) { bytes.removeLast() }
    return bytes.count == word.utf8.count
      && zip(bytes, word.utf8).allSatisfy { lowerCase($0) == $1 }
  }
}

extension HeaderBlock {
  fileprivate mutating func append(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
    append(UnsafeRawBufferPointer(name), value)
  }
}

extension UnsafeRawBufferPointer {
  fileprivate init(_ text: StaticString) {
    self.init(start: text.utf8Start, count: text.utf8CodeUnitCount)
  }
}
