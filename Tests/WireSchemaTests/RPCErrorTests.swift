import WireSchema
import SwiftProtobuf
import Testing

@Suite("Connect errors")
struct RPCErrorTests {
  private static func json(_ error: RPCError) -> String {
    String(decoding: error.json, as: UTF8.self)
  }

  @Test("the JSON is what the Connect protocol says")
  func json() {
    #expect(Self.json(RPCError(.notFound, "")) == #"{"code":"not_found"}"#)
    #expect(
      Self.json(RPCError(.alreadyExists, "lock-collision"))
        == #"{"code":"already_exists","message":"lock-collision"}"#)
    let detail = RPCError.Detail(type: "a.B", value: [1, 2, 3, 4])
    #expect(
      Self.json(RPCError(.unimplemented, "m", details: [detail, detail]))
        == #"{"code":"unimplemented","message":"m","details":[{"type":"a.B","value":"AQIDBA"},"#
        + #"{"type":"a.B","value":"AQIDBA"}]}"#)
  }

  @Test("every code travels by its name", arguments: RPCError.Code.allCases)
  func codes(_ code: RPCError.Code) {
    let error = RPCError(code, "m", details: [RPCError.Detail(type: "t", value: [0])])
    #expect(RPCError(json: error.json, httpStatus: code.httpStatus) == error)
  }

  @Test(
    "any message comes back as it was",
    arguments: [
      "plain", "\"quoted\"", "back\\slash", "line\nline\r\n", "\u{0}\u{1}\u{8}\u{c}\u{1f}", "tab\t",
      "\u{7f}\u{80}\u{2028}", "grüße 日本 🔒", "e\u{301}", "</script>", "{\"code\":\"x\"}",
    ])
  func escaping(_ message: String) throws {
    let error = RPCError(.internal, message)
    let decoded = RPCError(json: error.json, httpStatus: 500)
    #expect(decoded.message.unicodeScalars.elementsEqual(message.unicodeScalars))
    // Control characters never stand in JSON as they are (RFC 8259, section 7).
    #expect(error.json.allSatisfy { $0 >= 0x20 })
  }

  /// RFC 4648, section 10; Connect leaves the padding out.
  @Test(
    "details are in base64",
    arguments: [
      ("", "", ""), ("f", "Zg", "=="), ("fo", "Zm8", "="), ("foo", "Zm9v", ""),
      ("foob", "Zm9vYg", "=="), ("fooba", "Zm9vYmE", "="), ("foobar", "Zm9vYmFy", ""),
    ])
  func base64(_ text: String, _ encoded: String, _ padding: String) {
    let detail = RPCError.Detail(type: "t", value: Array(text.utf8))
    let error = RPCError(.unknown, "m", details: [detail])
    #expect(Self.json(error).contains("\"value\":\"\(encoded)\""))
    for value in [encoded, encoded + padding] {
      let json = #"{"code":"unknown","message":"m","details":[{"type":"t","value":"\#(value)"}]}"#
      #expect(RPCError(json: Array(json.utf8), httpStatus: 500) == error)
    }
  }

  @Test("every byte survives base64")
  func base64OfAllBytes() {
    for count in 0...258 {
      let value = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
      let error = RPCError(.unknown, "", details: [RPCError.Detail(type: "t", value: value)])
      #expect(RPCError(json: error.json, httpStatus: 500).details == error.details)
    }
  }

  @Test("a detail that is not base64 is left out", arguments: ["A", "AAAAA", "A A=", "A-_A", "é"])
  func badBase64(_ value: String) {
    let json =
      #"{"code":"unknown","details":[{"type":"t","value":"\#(value)"},{"type":"u","value":""}]}"#
    let error = RPCError(json: Array(json.utf8), httpStatus: 500)
    #expect(error.details == [RPCError.Detail(type: "u", value: [])])
  }

  @Test("members and details that nobody knows are ignored")
  func unknownMembers() {
    let json = #"""
      {"later":[1],"code":"not_found","message":"m","details":[{"type":"t","value":"","debug":{}}]}
      """#
    let error = RPCError(json: Array(json.utf8), httpStatus: 404)
    #expect(
      error == RPCError(.notFound, "m", details: [RPCError.Detail(type: "t", value: [])]))
  }

  /// The Connect protocol, "HTTP to Error Code".
  @Test(
    "an answer without a Connect error counts by its status",
    arguments: [
      (400, .internal), (401, .unauthenticated), (403, .permissionDenied), (404, .unimplemented),
      (429, .unavailable), (502, .unavailable), (503, .unavailable), (504, .unavailable),
      (500, .unknown), (418, .unknown), (302, .unknown),
    ] as [(Int, RPCError.Code)])
  func statusAlone(_ status: Int, _ code: RPCError.Code) {
    for body in ["", "<html>", "{}", "[]", #"{"code":"later_code"}"#, #"{"code":7}"#] {
      let error = RPCError(json: Array(body.utf8), httpStatus: status)
      #expect(error.code == code, "\(body)")
      #expect(error.httpStatus == status)
      #expect(error.message.contains("\(status)"))
    }
  }
}
