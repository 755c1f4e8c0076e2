package import HTTP
import NIOCore
import NIOPosix
import Synchronization
import WireSchema

/// An HTTP/2 intermediary at a port of its own, which does to calls what a test wants done. Like any
/// intermediary it passes on neither settings nor frames that it does not know.
package final class Intermediary: Sendable {
  package enum Habit: Sendable {
    /// Adds fields that no version knows to every message, in both directions.
    case addsUnknownFields
    /// Carries out every other call and ends the client's connection instead of answering it.
    case losesAnswers
  }

  package let port: Int
  private let listener: any Channel

  private init(port: Int, listener: any Channel) {
    self.port = port
    self.listener = listener
  }

  package static func start(_ habit: Habit, to serverPort: Int) async throws -> Intermediary {
    let calls = CallCounter()
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let forwarding = Forwarding(habit, serverPort, channel, calls)
          try channel.pipeline.syncOperations.addHandler(
            HTTP2ServerHandler(
              receiver: forwarding, offer: HandshakeOffer(settingsValue: 0, hello: []),
              limits: HTTP2Limits(), grease: .none,
              rejections: Rejections(status: 502),
              events: nil))
        }
      }
      .bind(host: InProcessServer.host, port: 0).get()
    return Intermediary(port: listener.localAddress!.port!, listener: listener)
  }

  package func stop() async throws { try await listener.close() }
}

extension Rejections {
  /// Answers of this status, without a word.
  package init(status: Int) {
    let rejection = Rejection(headers: ResponseHeaders(status: status, fields: []), body: [])
    self.init(
      headersTooLarge: rejection, bodyTooLarge: rejection, tooManyBytes: rejection,
      malformed: rejection, timedOut: rejection)
  }
}

/// The calls of one client's connection. Belongs to its event loop.
private final class Forwarding: RequestReceiver {
  private let habit: Intermediary.Habit
  private let serverPort: Int
  private let client: any Channel
  private let calls: CallCounter

  init(
    _ habit: Intermediary.Habit, _ serverPort: Int, _ client: any Channel, _ calls: CallCounter
  ) {
    self.habit = habit
    self.serverPort = serverPort
    self.client = client
    self.calls = calls
  }

  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
    let isLost = habit == .losesAnswers && calls.next() % 2 == 1
    let headers = head.strings.filter { $0.name.first != ":" && $0.name != "content-length" }
    let call = Call(
      method: head.value(of: ":method") ?? "", path: head.value(of: ":path") ?? "",
      headers: headers, body: changed(body, type: head.value(of: "content-type")))
    let waiting = NIOLoopBound(exchange, eventLoop: client.eventLoop)
    let forwarding = NIOLoopBound(self, eventLoop: client.eventLoop)
    client.eventLoop.makeFutureWithTask { [serverPort] in
      try await HTTP2Call.send(call, port: serverPort)
    }.whenComplete { result in
      let (forwarding, exchange) = (forwarding.value, waiting.value)
      if isLost {
        forwarding.client.close(promise: nil)
      } else if case .success(let answer) = result {
        exchange.respond(
          ResponseHeaders(
            status: answer.status,
            fields: answer.headers.filter { $0.name != ":status" && $0.name != "content-length" }),
          body: forwarding.changed(answer.body, type: answer.value(of: "content-type")))
      } else {
        exchange.respond(ResponseHeaders(status: 502, fields: []), body: [])
      }
    }
  }

  private func changed(_ body: [UInt8], type: String?) -> [UInt8] {
    guard habit == .addsUnknownFields, type == Codec.proto.contentType else { return body }
    return body + Self.unknownFields
  }

  /// Field 1,000, a number, and field 1,001, a text.
  private static let unknownFields: [UInt8] =
    [0xC0, 0x3E, 0x07] + [0xCA, 0x3E, 0x05] + Array("later".utf8)
}

/// Counts the calls of all connections.
private final class CallCounter: Sendable {
  private let count = Atomic<Int>(0)

  func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }
}
