/// A call over HTTP/1.1 (RFC 9112), as plain as it gets: one connection, one request.
package enum HTTP1Call {
  package static func send(_ call: Call, port: Int) async throws -> Answer {
    let connection = try await RawConnection.open(port: port)
    defer { connection.close() }
    connection.send(head(of: call, port: port) + call.body)
    let bytes = try await connection.receive { HTTP1Answer.parse($0) != nil }
    guard let answer = HTTP1Answer.parse(bytes) else {
      throw PeerFault(message: "no HTTP/1.1 answer: \(String(decoding: bytes, as: UTF8.self))")
    }
    return answer
  }

  private static func head(of call: Call, port: Int) -> [UInt8] {
    var text = "\(call.method) \(call.path) HTTP/1.1\r\nHost: \(InProcessServer.host):\(port)\r\n"
    for (name, value) in call.headers { text += "\(name): \(value)\r\n" }
    text += "Content-Length: \(call.body.count)\r\n\r\n"
    return Array(text.utf8)
  }
}

package enum HTTP1Answer {
  /// The first complete answer in `bytes`; nil where there is none. Answers have a Content-Length.
  package static func parse(_ bytes: [UInt8]) -> Answer? {
    let separator = Array("\r\n\r\n".utf8)
    guard
      let end = bytes.indices.first(where: { bytes[$0...].starts(with: separator) })
    else { return nil }
    let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
    let words = lines.first?.split(separator: " ") ?? []
    guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else { return nil }
    let headers = lines.dropFirst().map { line in
      let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count == 2 ? parts[1].drop { $0 == " " } : ""
      return (name: parts[0].lowercased(), value: String(value))
    }
    var answer = Answer(status: status, headers: headers, body: [])
    guard let length = answer.value(of: "content-length").flatMap({ Int($0) }) else { return nil }
    let body = bytes[(end + separator.count)...]
    guard body.count >= length else { return nil }
    answer.body = Array(body.prefix(length))
    return answer
  }
}
