import CNghttp2
import NIOCore

// What a caller does.
extension HTTP2ClientHandler {
  /// Sends a request.
  ///
  /// - Parameters:
  ///   - fields: Without pseudo headers, names in lower case, all valid in RFC 9113 8.2.
  ///   - completion: Called exactly once, on the event loop; where nothing can be sent any more,
  ///     before this returns.
  /// - Returns: A name for ``cancel(_:)``.
  @discardableResult
  package func send(
    method: String, path: String, fields: [(String, String)], body: [UInt8],
    completion: @escaping Completion
  ) -> HTTP2RequestID {
    context?.eventLoop.assertInEventLoop()
    let none = HTTP2RequestID(stream: 0)
    guard isUsable else {
      let error = HTTP2ClientError(
        .refusedBeforeProcessing, "the connection takes no new requests", cause: reason)
      completion(.failure(error))
      return none
    }
    // Those that were given up count while the server takes nothing, and so not their end either.
    let count = streams.count + retired.count
    guard count < limits.clientRequestsMax else {
      completion(
        .failure(HTTP2ClientError(.tooManyRequests, "\(count) requests are under way")))
      return none
    }
    let stream = ClientStream(completion)
    stream.outgoing = body
    let pseudo = [
      (":method", method), (":scheme", scheme), (":authority", authority), (":path", path),
    ]
    let id = submit(pseudo + fields, on: stream)
    guard id > 0 else {
      // Stream ids are used up, or there is no memory.
      hasGoAway = true
      let error = HTTP2ClientError(
        .refusedBeforeProcessing, String(cString: nghttp2_strerror(id)))
      completion(.failure(error))
      return none
    }
    stream.id = id
    streams[id] = stream
    setNeedsPump()
    return HTTP2RequestID(stream: id)
  }

  private func submit(_ fields: [(String, String)], on stream: ClientStream) -> Int32 {
    var text: [UInt8] = []
    text.reserveCapacity(fields.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count })
    for (name, value) in fields {
      text.append(contentsOf: name.utf8)
      text.append(contentsOf: value.utf8)
    }
    // nghttp2 only reads, and copies before it returns.
    return text.withUnsafeMutableBufferPointer { text in
      var next = text.baseAddress
      let table = fields.map { name, value in
        let (nameCount, valueCount) = (name.utf8.count, value.utf8.count)
        defer { next = next.map { $0 + nameCount + valueCount } }
        return nghttp2_nv(
          name: next, value: next.map { $0 + nameCount }, namelen: nameCount, valuelen: valueCount,
          flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
      }
      return stream.withDataProvider {
        nghttp2_submit_request(session.handle, nil, table, table.count, $0, nil)
      }
    }
  }

  /// Gives up on a request: its completion gets ``HTTP2ClientError/Code/cancelled`` before this
  /// returns. Harmless where it is complete already.
  package func cancel(_ id: HTTP2RequestID) {
    context?.eventLoop.assertInEventLoop()
    guard streams[id.stream] != nil else { return }
    fail(
      id.stream, HTTP2ClientError(.cancelled, "the request was cancelled"),
      reset: ErrorCode.cancel)
    setNeedsPump()
  }

  /// Asks whether the server is there. `completion` gets true at its answer, and false where the
  /// connection ends first, is not open, or ``HTTP2Limits/pingsMax`` others wait already. There is
  /// no timeout here.
  package func ping(completion: @escaping (Bool) -> Void) {
    context?.eventLoop.assertInEventLoop()
    pingCount += 1
    guard phase == .open, pings.count < limits.pingsMax,
      PingPayload.submit(pingCount, to: session)
    else { return completion(false) }
    pings[pingCount] = completion
    setNeedsPump()
  }

  /// Takes no new requests, and closes when the present ones are complete.
  package func beginDrain() {
    context?.eventLoop.assertInEventLoop()
    guard !isDraining else { return }
    isDraining = true
    endIfDrained()
  }

  /// Closes at once, without another word: what is under way fails, and says why.
  package func abandon(_ why: String) { abort(HTTP2ConnectionEnd(.closed, why)) }

  private func endIfDrained() {
    guard isDraining, streams.isEmpty else { return }
    end(
      HTTP2ConnectionEnd(.drained, "all requests are complete"), code: ErrorCode.noError)
  }

  // Completing.

  func fail(_ id: Int32, _ error: HTTP2ClientError, reset code: UInt32) {
    complete(id, .failure(error), reset: code)
  }

  /// Completes the request on stream `id`, and resets the stream where there is a `code`.
  func complete(
    _ id: Int32, _ result: Result<HTTP2Response, HTTP2ClientError>, reset code: UInt32?
  ) {
    guard let stream = streams.removeValue(forKey: id) else { return }
    arrivingBytes -= stream.head.byteCount + stream.body.count
    (stream.head, stream.body) = (HeaderBlock(), [])
    retired[id] = stream
    if let code {
      session.reset(id, code: code)
    }
    stream.completion(result)
    endIfDrained()
  }

  func completeAll(_ reason: HTTP2ConnectionEnd) {
    let unanswered = streams.values.sorted { $0.id < $1.id }
    streams = [:]
    for stream in unanswered {
      let error = HTTP2ClientError(
        stream.isSent ? .connectionClosed : .refusedBeforeProcessing, "the connection ended",
        cause: reason)
      stream.completion(.failure(error))
    }
    let unansweredPings = pings.values
    pings = [:]
    for completion in unansweredPings { completion(false) }
    events.closed(reason: reason)
  }
}
