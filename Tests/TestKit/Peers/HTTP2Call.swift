import HTTP
import NIOCore
import NIOPosix

/// A call over HTTP/2 by the client role of this project's own handler.
package enum HTTP2Call {
  package static func send(_ call: Call, port: Int) async throws -> Answer {
    let connection = try await HTTP2Connection.open(port: port)
    defer { connection.close() }
    return try await connection.send(call)
  }
}

/// A connection over which several calls can be under way.
package final class HTTP2Connection: Sendable {
  private let channel: any Channel

  private init(_ channel: any Channel) { self.channel = channel }

  package static func open(port: Int) async throws -> HTTP2Connection {
    let authority = "\(InProcessServer.host):\(port)"
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // No handshake: a server works for clients that know nothing of it.
          let handler = HTTP2ClientHandler(
            authority: authority, offer: HandshakeOffer(settingsValue: 0, hello: []),
            limits: HTTP2Limits(), grease: .none, events: NoEvents())
          try channel.pipeline.syncOperations.addHandler(handler)
        }
      }
      .connect(host: InProcessServer.host, port: port).get()
    return HTTP2Connection(channel)
  }

  package func send(_ call: Call) async throws -> Answer {
    let channel = channel
    return try await channel.eventLoop.flatSubmit { Self.answer(to: call, on: channel) }.get()
  }

  package func close() { channel.close(promise: nil) }

  private static func answer(to call: Call, on channel: any Channel) -> EventLoopFuture<Answer> {
    let promise = channel.eventLoop.makePromise(of: Answer.self)
    do {
      let handler = try channel.pipeline.syncOperations.handler(type: HTTP2ClientHandler.self)
      handler.send(
        method: call.method, path: call.path, fields: call.headers, body: call.body
      ) { result in
        promise.completeWith(result.map(Answer.init).mapError { $0 })
      }
    } catch {
      promise.fail(error)
    }
    return promise.futureResult
  }
}

extension Answer {
  fileprivate init(_ response: HTTP2Response) {
    self.init(status: response.status, headers: response.headers.strings, body: response.body)
  }
}

extension HeaderBlock {
  /// Names and values as text, in order.
  package var strings: [(name: String, value: String)] {
    withFields { fields in
      fields.map {
        (String(decoding: $0.name, as: UTF8.self), String(decoding: $0.value, as: UTF8.self))
      }
    }
  }
}

private final class NoEvents: HTTP2ClientEvents {
  func peerOffered(settingsValue: UInt32) {}
  func peerHello(_ payload: [UInt8]) {}
  func bytesReceived() {}
  func goAway(lastStream: Int32, code: UInt32) {}
  func closed(reason: HTTP2ConnectionEnd) {}
}
