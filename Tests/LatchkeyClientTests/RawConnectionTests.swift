import HTTP
import NIOPosix
import Testing
import WireSchema

@testable import LatchkeyClient

@Suite(.timeLimit(.minutes(2)))
struct RawConnectionTests {
  @Test func callsAreMadeOnItsEventLoop() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let connection = try await RawConnection.connect(
      to: server.endpoint, on: MultiThreadedEventLoopGroup.singleton)
    let resource = Resource(key: "a", kind: .lock, owner: "me", value: "")
    let call = try V1.encode(.acquire(resource, lease: .seconds(9)))
    let statuses = connection.eventLoop.makePromise(of: [Int].self)
    connection.eventLoop.execute {
      var received: [Int] = []
      for _ in 0..<3 {
        connection.call(path: call.path, body: call.body) { result in
          received.append((try? result.get().status) ?? 0)
          if received.count == 3 { statuses.succeed(received) }
        }
      }
    }
    #expect(try await statuses.futureResult.get() == [200, 200, 200])
    #expect(locks.owner(of: "a") == "me")
    #expect(server.requests[0].fields["content-type"] == "application/proto")
    await connection.close()
    let refusal = connection.eventLoop.makePromise(of: HTTP2ClientError.Code?.self)
    connection.eventLoop.execute {
      connection.call(path: call.path, body: call.body) { result in
        if case .failure(let error) = result {
          refusal.succeed(error.code)
        } else {
          refusal.succeed(nil)
        }
      }
    }
    #expect(try await refusal.futureResult.get() == .refusedBeforeProcessing)
    try await server.stop()
  }

  @Test func nobodyThereIsAnError() async throws {
    await #expect(throws: (any Error).self) {
      _ = try await RawConnection.connect(
        to: .nobody, on: MultiThreadedEventLoopGroup.singleton)
    }
  }
}
