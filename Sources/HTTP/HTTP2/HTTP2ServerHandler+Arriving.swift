import CNghttp2
import NIOCore

// Requests that are arriving: what they may take, and how they end.
extension HTTP2ServerHandler {
  /// Keeps nothing more of a header list that is refused at its end.
  func drop(_ stream: ServerStream, for fault: ServerStream.HeadFault) {
    stream.headFault = fault
    stream.noteMethod()
    _ = takeRequest(of: stream)
  }

  func reject(_ stream: ServerStream, for fault: ServerStream.HeadFault) {
    switch fault {
    case .malformed: reject(stream, rejections.malformed)
    case .noRoom: reject(stream, rejections.tooManyBytes)
    case .tooLarge:
      reject(stream, rejections.headersTooLarge)
      if oversizedHeaders?.take(at: receivedAt) == false {
        end(
          HTTP2ConnectionEnd(.headerFlood, "too many header lists were too large"),
          code: ErrorCode.enhanceYourCalm)
      }
    }
  }

  /// Refuses a stream because others, or those that are open here, take all the room there is.
  func refuseForWantOfRoom(_ id: Int32) {
    refuse(id)
    if streamsWithoutRoom?.take(at: receivedAt) == false {
      end(
        HTTP2ConnectionEnd(.resetFlood, "too many streams were opened while there was no room"),
        code: ErrorCode.enhanceYourCalm)
    }
  }

  /// Refuses the newest requests that are arriving, and gives the newest answers up that wait, while
  /// they take more than this connection's part.
  func leaveRoomForOthers() {
    var newest = lastStream
    while let stream = newest, arriving.isAboveItsPart || answering.isAboveItsPart {
      newest = stream.previous
      if stream.answer != nil {
        // What was given up before may not be out yet.
        if answering.isAboveItsPart, stream.answeringBytes > 0 { giveUpAnswer(of: stream) }
      } else if stream.state == .receivingBody, arriving.isAboveItsPart {
        reject(stream, rejections.tooManyBytes)
      }
    }
  }

  /// Resets the stream. Nothing that was done for the peer is certain to it then, as after a lost
  /// connection.
  func giveUpAnswer(of stream: ServerStream) {
    answering.giveBack(stream.answeringBytes)
    stream.answeringBytes = 0
    reset(stream, code: ErrorCode.enhanceYourCalm)
  }

  /// Counts `count` bytes that are about to be stored for `stream`; false where they are too many.
  @inline(__always)
  func store(_ count: Int, of stream: ServerStream) -> Bool {
    guard arriving.take(count) else { return false }
    stream.arrivingBytes += count
    return true
  }

  /// Counts `count` bytes that are about to be stored for `stream`. Where they are too many, the
  /// newest requests that are still arriving are rejected; says false where `stream` is among them.
  func makeRoom(for count: Int, of stream: ServerStream) -> Bool {
    var newest = lastStream
    while !store(count, of: stream) {
      guard let candidate = newest else { return false }
      newest = candidate.previous
      guard candidate.state == .receivingBody, candidate.answer == nil else { continue }
      reject(candidate, rejections.tooManyBytes)
      if candidate === stream { return false }
    }
    return true
  }

  /// Makes room for a body of `count` bytes so far, in steps that double: it is the room that counts, not
  /// how much of it is filled.
  func makeRoom(forBody count: Int, of stream: ServerStream) -> Bool {
    guard count > stream.bodyRoom else { return true }
    let room = max(count, min(2 * stream.bodyRoom, limits.requestBodyBytesMax))
    guard makeRoom(for: room - stream.bodyRoom, of: stream) else { return false }
    stream.body.reserveCapacity(room)
    stream.bodyRoom = room
    return true
  }

  func complete(_ stream: ServerStream) {
    stream.state = .complete
    stream.since = receivedAt
    let (head, body) = takeRequest(of: stream)
    guard stream.answer == nil else { return }
    if waitingAnswerBytes > limits.unsentAnswerBytesMax {
      reject(stream, rejections.tooManyBytes)
    } else {
      receiver.receive(head, body: body, exchange: stream)
    }
  }

  private func takeRequest(of stream: ServerStream) -> (HeaderBlock, [UInt8]) {
    arriving.giveBack(stream.arrivingBytes)
    stream.arrivingBytes = 0
    let request = (stream.head, stream.body)
    stream.head = HeaderBlock()
    stream.body = []
    return request
  }

  /// Answers before the request is complete, and forgets what came of it.
  func reject(_ stream: ServerStream, _ rejection: Rejections.Rejection) {
    _ = takeRequest(of: stream)
    stream.respond(rejection.headers, body: rejection.body)
  }
}
