/// One request of a client and what has come of its response.
final class ClientStream: FrameStream {
  let completion: HTTP2ClientHandler.Completion
  /// Whether nghttp2 gave the request's headers to the channel.
  var isSent = false
  var head = HeaderBlock()
  var body: [UInt8] = []
  var isHeadTooLarge = false
  /// Interim responses so far.
  private(set) var interimCount = 0
  /// The fields that come are trailers, which are dropped.
  private var isInTrailers = false

  init(_ completion: @escaping HTTP2ClientHandler.Completion) {
    self.completion = completion
    super.init(id: 0)
  }

  /// The status of the final response, nil while there is none. nghttp2 lets no response through
  /// that has none.
  private(set) var status: Int?

  func headersBegan() {
    if status != nil { isInTrailers = true }
  }

  /// Drops interim responses (RFC 9110 15.2).
  func headersEnded() {
    guard !isInTrailers, let status = head.value(of: ":status").flatMap({ Int($0) }) else { return }
    if status >= 200 {
      self.status = status
    } else {
      interimCount += 1
      head = HeaderBlock()
    }
  }

  func headerReceived(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, bytesMax: Int
  ) {
    guard !isInTrailers, !isHeadTooLarge else { return }
    let size = name.count + value.count + HTTP2Limits.headerFieldOverheadBytes
    if head.byteCount + size > bytesMax {
      isHeadTooLarge = true
    } else {
      head.append(name, value)
    }
  }
}
