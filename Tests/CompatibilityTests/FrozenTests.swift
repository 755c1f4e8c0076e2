import HTTP
import LatchkeyServer
import Storage
import StorageSQL
import StorageSQLite
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

/// What a release put on the wire or in the store never changes: the code is compared with the
/// copies in Protocol/frozen and with the vectors. A test that fails here asks for a new version,
/// never for a new copy.
@Suite("Frozen")
struct FrozenTests {
  @Test(
    "names, numbers and types of a .proto file are as recorded; comments may change",
    arguments: [
      ("latchkey/v1/locks.proto", "v1.txt"),
      ("latchkey/v2/locks.proto", "v2.txt"),
      ("latchkey/v3/locks.proto", "v3.txt"),
      ("latchkey/handshake/v1/handshake.proto", "handshake.txt"),
    ])
  func protoFile(_ path: String, _ copy: String) throws {
    #expect(try Self.normalized(ProtocolFiles.text(path)) == ProtocolFiles.text("frozen/\(copy)"))
  }

  /// The file without comments, one statement or brace a line, one blank between words.
  static func normalized(_ proto: String) -> String {
    let bare = proto.split(separator: "\n").map { line in
      line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
    }
    var text = ""
    for word in bare.joined(separator: " ").split(whereSeparator: \.isWhitespace) {
      if !text.isEmpty, text.last != "\n" { text += " " }
      for character in word {
        guard ";{}".contains(character) else {
          text.append(character)
          continue
        }
        if text.last == " " { text.removeLast() }
        text += "\(character)\n"
      }
    }
    return text
  }

  // MARK: - The handshake

  @Test("a range has the recorded bytes in each of its forms")
  func ranges() throws {
    let file = try ProtocolFiles.json("vectors/handshake/ranges.json")
    let ranges = try #require(file.member("ranges").list)
    #expect(!ranges.isEmpty)
    for item in ranges {
      let range = try #require(try Self.range(item))
      let setting = try Self.number(item.member("setting"))
      let header = try #require(item.member("header").string)
      let message = try item.member("message").expandedBytes()
      #expect(range.settingsValue == setting && WireRange(settingsValue: setting) == range)
      #expect(range.headerValue == header && WireRange(headerValue: header) == range)
      #expect(try range.message.serializedBytes() == message)
      #expect(
        try WireRange(Latchkey_Handshake_V1_WireRange(serializedBytes: message)) == range)
    }
    for item in try #require(file.member("settings_without_meaning").list) {
      #expect(try WireRange(settingsValue: Self.number(item)) == nil, "\(item)")
    }
    for item in try #require(file.member("headers_understood").list) {
      let header = try #require(item.member("header").string)
      #expect(try WireRange(headerValue: header) == Self.range(item), "\(header)")
    }
    for item in try #require(file.member("headers_without_meaning").list) {
      #expect(WireRange(headerValue: try #require(item.string)) == nil, "\(item)")
    }
    for item in try #require(file.member("messages_without_meaning").list) {
      let message = try Latchkey_Handshake_V1_WireRange(serializedBytes: item.expandedBytes())
      #expect(WireRange(message) == nil, "\(item)")
    }
    for item in try #require(file.member("highest_common").list) {
      let a = try #require(item.member("a").string.flatMap(WireRange.init(headerValue:)))
      let b = try #require(item.member("b").string.flatMap(WireRange.init(headerValue:)))
      let version = try item.member("version").integer.map { UInt32($0) }
      #expect(a.newestCommon(with: b) == version && b.newestCommon(with: a) == version)
    }
  }

  private static func range(_ item: JSONValue) throws -> WireRange? {
    guard let oldest = try item.member("oldest").integer,
      let newest = try item.member("newest").integer
    else { return nil }
    return WireRange(oldest: UInt32(oldest), newest: UInt32(newest))
  }

  private static func number(_ item: JSONValue) throws -> UInt32 {
    try item.expandedBytes().reduce(0) { $0 << 8 | UInt32($1) }
  }

  @Test("a HELLO has the recorded bytes")
  func hellos() throws {
    let file = try ProtocolFiles.json("vectors/handshake/hello.json")
    let hellos = try #require(file.member("hellos").list)
    #expect(!hellos.isEmpty)
    for item in hellos {
      let (hello, bytes) = try Self.hello(item)
      #expect(HelloFrame.encode(hello, grease: 0) == bytes)
      #expect(HelloFrame.decode(bytes) == hello)
    }
    for item in try #require(file.member("greased").list) {
      let (hello, bytes) = try Self.hello(item)
      var decoded = try #require(HelloFrame.decode(bytes))
      #expect(decoded != hello, "\(item) has no unknown field")
      decoded.unknownFields = .init()
      decoded.wire.unknownFields = .init()
      if !hello.hasWire { decoded.clearWire() }
      #expect(decoded == hello)
    }
    for item in try #require(file.member("malformed").list) {
      #expect(HelloFrame.decode(try item.expandedBytes()) == nil, "\(item)")
    }
    #expect(try file.member("bytes_max").integer == Int64(HelloFrame.bytesMax))
  }

  private static func hello(
    _ item: JSONValue
  ) throws -> (Latchkey_Handshake_V1_Hello, [UInt8]) {
    let json = try item.member("json").jsonUTF8Bytes() as [UInt8]
    return (
      try Latchkey_Handshake_V1_Hello(jsonUTF8Bytes: json), try item.member("proto").expandedBytes()
    )
  }

  @Test("the names of the handshake are as recorded")
  func names() {
    #expect(WireRange.settingID == 0x4C4B)
    #expect("\(WireRange.headerName)" == "latchkey-wire")
    // The frames' module knows nobody, so it has these once more.
    #expect(HandshakeOffer.settingsID == WireRange.settingID)
    #expect(HandshakeOffer.helloFrameType == 0x4C)
    #expect(HTTP2Limits().helloBytesMax == HelloFrame.bytesMax)
    #expect(WireRange.detailType == "latchkey.handshake.v1.WireRange")
    #expect(HelloFrame.greaseFields == 1_000...1_999)
  }

  // MARK: - Errors

  @Test(
    "every recorded error is still in its version's vectors, and so in the server's answers",
    arguments: WireVersions.all.map { $0.number })
  func errors(wire: UInt32) throws {
    var current: Set<String> = []
    for vector in try VectorFile.all(in: "v\(wire)").flatMap(\.vectors) {
      guard case .error(let error) = vector.outcome else { continue }
      let message = (error.message ?? "") + (error.isPrefix || error.message == nil ? "*" : "")
      current.insert("\(vector.status) \(error.code) \(message)")
    }
    let recorded = try ProtocolFiles.text("frozen/errors.v\(wire).txt").split(separator: "\n")
    #expect(recorded.count > 20)
    #expect(Set(recorded.map(String.init)).subtracting(current).sorted() == [])
  }

  @Test("codes have the HTTP statuses of the Connect protocol")
  func statuses() {
    let table: [RPCError.Code: Int] = [
      .canceled: 499, .unknown: 500, .invalidArgument: 400, .deadlineExceeded: 504,
      .notFound: 404, .alreadyExists: 409, .permissionDenied: 403, .resourceExhausted: 429,
      .failedPrecondition: 400, .aborted: 409, .outOfRange: 400, .unimplemented: 501,
      .internal: 500, .unavailable: 503, .dataLoss: 500, .unauthenticated: 401,
    ]
    for code in RPCError.Code.allCases { #expect(code.httpStatus == table[code], "\(code)") }
  }

  // MARK: - The store

  @Test("shape s1 is as recorded")
  func shape() throws {
    let recorded = try ProtocolFiles.text("frozen/s1.sqlite.sql")
    let statements = S1.migration(.sqlite)
    #expect(statements.map { "\($0);\n" }.joined() == recorded)
    #expect(
      S1.metaNames.map(\.text)
        == ["newest_shape", "oldest_shape", "token_floor", "epoch"])

    let folder = try StoreFolder()
    _ = try SQLiteEngine(path: folder.file, shapes: KnownShapes(after: [])).openWriter()
    let tables = try SQLiteFile(folder.file).run("SELECT name, sql FROM sqlite_master")
    for table in [S1.metaTable, S1.resourceTable] {
      let sql = tables.first { $0["name"] == table }?["sql"] ?? nil
      let created = try #require(sql?.replacing("CREATE TABLE ", with: ""))
      #expect(recorded.contains("CREATE TABLE IF NOT EXISTS \(created);\n"))
    }
    let id = try SQLiteFile(folder.file).run("PRAGMA application_id")
    #expect(id.first?["application_id"] == "\(0x4C54_4B59)")
  }

  @Test("shape s2 is as recorded, and adds to s1 without changing it")
  func shapeS2() throws {
    let shapes = KnownShapes(after: [S2.self])
    let all = shapes.migration(
      .sqlite, existingColumns: Set(S1.columnNames))
    let s1 = S1.migration(.sqlite)
    #expect(Array(all.prefix(s1.count)) == s1)
    let added = all.dropFirst(s1.count).map { "\($0);\n" }.joined()
    #expect(try added == ProtocolFiles.text("frozen/s2.sqlite.sql"))
    #expect((Terms.bytesMax, Terms.countMax, Terms.contentBytesMax) == (512, 32, 4_096))
  }

  @Test("shape s3 is as recorded, and adds to s2 without changing it")
  func shapeS3() throws {
    let (s2, s3) = (KnownShapes(after: [S2.self]), KnownShapes(after: [S2.self, S3.self]))
    func migration(_ shapes: KnownShapes) -> [String] {
      shapes.migration(.sqlite, existingColumns: Set(S1.columnNames))
    }
    try expect("s3.sqlite.sql", what: migration(s3), addsTo: migration(s2))
    try expect(
      "s3.postgresql.sql", what: PostgresStatements.creation(s3),
      addsTo: PostgresStatements.creation(s2))
    try expect(
      "s3.mariadb.sql", what: MariaDBStatements.creation(s3), addsTo: MariaDBStatements.creation(s2)
    )
  }

  private func expect(_ file: String, what newer: [String], addsTo older: [String]) throws {
    let added = newer.filter { !older.contains($0) }
    #expect(try added.map { "\($0);\n" }.joined() == ProtocolFiles.text("frozen/\(file)"))
    // Only the number of the newest shape is another one.
    #expect(older.filter { !newer.contains($0) }.allSatisfy { $0.contains("newest_shape") })
  }

  @Test("what databases across a network are told is as recorded")
  func networkShapes() throws {
    let shapes = KnownShapes(after: [S2.self])
    let recorded = [
      ("s2.postgresql.sql", PostgresStatements.creation(shapes)),
      ("s2.mariadb.sql", MariaDBStatements.creation(shapes)),
    ]
    for (file, statements) in recorded {
      let text = statements.map { "\($0);\n" }.joined()
      #expect(try text == ProtocolFiles.text("frozen/\(file)"), "\(file)")
    }
  }

  // MARK: - Releases

  @Test("releases.json agrees with the code")
  func releases() throws {
    let file = try ProtocolFiles.json("releases.json")
    let releases = try #require(file.member("releases").list)
    let current = try #require(releases.last)
    #expect(try current.member("version").string == Release.version)
    #expect(try Self.range(current.member("wire")) == WireVersions.spoken)
    let shape = try current.member("shape")
    #expect(try shape.member("oldest").integer == S1.number)
    #expect(try shape.member("newest").integer == KnownShapes.all.newest)
    for release in releases {
      let commit = try release.member("commit")
      #expect(commit.isNull || commit.string?.count == 40)
      let version = try #require(release.member("version").string)
      #expect(try ProtocolFiles.capsules().contains(version), "no database of \(version)")
    }
    // What a server may be rolled back to.
    #expect(RollbackAllowance.history.count == releases.count)
    for (known, release) in zip(RollbackAllowance.history, releases) {
      #expect(try release.member("version").string == known.version)
      #expect(try release.member("shape").member("newest").integer == known.newestShape)
    }
    let numbers = WireVersions.all.map { $0.number }
    #expect(numbers == Array(1...WireVersions.spoken.newest))
  }
}
