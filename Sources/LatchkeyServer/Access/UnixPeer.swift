import Exclusion
import Glibc
import NIOCore
import NIOPosix

/// Who is at the other end of a socket of this machine.
final class UnixPeer: Sendable {
  /// For how long a user's name is known without another look, in seconds.
  private static let keptSeconds = 60
  private static let keptMax = 4_096

  /// `struct ucred`, which Glibc shows to C alone.
  private struct Credentials {
    var process: pid_t = 0
    var user: uid_t = 0
    var group: gid_t = 0
  }

  private struct Known {
    let proof: Proof
    let at: Int
  }

  /// Of its own: users may be kept at another machine, for which nobody else is to wait.
  private let thread = NIOThreadPool(numberOfThreads: 1)
  private let known = Mutex<[uid_t: Known]>([:])

  func start() { thread.start() }
  func stop() async { try? await thread.shutdownGracefully() }

  /// As the system says it (unix(7), SO_PEERCRED): the user of the process that has connected.
  func proof(of channel: any Channel) -> EventLoopFuture<Proof> {
    guard let socket = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeSucceededFuture(.nothing)
    }
    let credentials: EventLoopFuture<Credentials> = socket.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    return credentials.flatMap { [self] credentials in
      if let known = proof(of: credentials.user) {
        return channel.eventLoop.makeSucceededFuture(known)
      }
      return thread.runIfActive(eventLoop: channel.eventLoop) { [self] in
        // Who came before may have asked for the same one.
        proof(of: credentials.user) ?? look(for: credentials.user)
      }
    }
  }

  private func proof(of user: uid_t) -> Proof? {
    known.withLock { known in
      known[user].flatMap { Self.now - $0.at < Self.keptSeconds ? $0.proof : nil }
    }
  }

  private func look(for user: uid_t) -> Proof {
    let proof = Proof(userID: user)
    known.withLock { known in
      if known.count >= Self.keptMax { known = [:] }
      known[user] = Known(proof: proof, at: Self.now)
    }
    return proof
  }

  private static var now: Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec
  }
}
