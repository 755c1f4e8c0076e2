import Glibc
import NIOCore
import NIOPosix

/// Who is at the other end of a socket of this machine.
enum UnixPeer {
  /// `struct ucred`, which Glibc shows to C alone.
  private struct Credentials {
    var process: pid_t = 0
    var user: uid_t = 0
    var group: gid_t = 0
  }

  /// As the system says it (unix(7), SO_PEERCRED): the user of the process that has connected.
  static func proof(of channel: any Channel) -> EventLoopFuture<Proof> {
    guard let socket = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeSucceededFuture(.nothing)
    }
    let credentials: EventLoopFuture<Credentials> = socket.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    // Users may be kept at another machine.
    return credentials.flatMap { credentials in
      NIOThreadPool.singleton.runIfActive(eventLoop: channel.eventLoop) {
        Proof(userID: credentials.user)
      }
    }
  }
}
