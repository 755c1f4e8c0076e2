import Glibc

/// A socket in the file system, and who may connect to it.
package struct UnixSocket: Hashable, Sendable {
  /// The longest path of one, in bytes (unix(7)).
  package static let pathBytesMax = 107

  package var path: String
  /// As chmod takes it.
  package var mode: UInt32
  /// A group's name or number; nil for that of the process.
  package var group: String?

  package init(path: String, mode: UInt32 = 0o600, group: String? = nil) {
    self.path = path
    self.mode = mode
    self.group = group
  }

  /// Makes the socket. One that a server has left behind is replaced, and one at which there is a server is not.
  ///
  /// - Returns: The socket, bound.
  package func bind() throws(UnixSocketError) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard !path.isEmpty, path.utf8.count <= Self.pathBytesMax else {
      throw UnixSocketError("a socket's path has 1 to \(Self.pathBytesMax) bytes")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let groupID = try groupID()
    try removeStale(address)
    let socket = try Self.open()
    do throws(UnixSocketError) {
      // Nobody can connect until it listens; by then it is for whom it should be.
      try check(Self.call(Glibc.bind, socket, address), "bind")
      if let groupID { try check(chown(path, uid_t.max, groupID), "chown") }
      try check(chmod(path, mode_t(mode)), "chmod")
    } catch {
      close(socket)
      throw error
    }
    return socket
  }

  /// Removes what the server has left behind there, unless it is another one's by now.
  package func remove(ifIs made: FileID?) {
    if let made, made == fileID { unlink(path) }
  }

  /// Which file is at its path.
  package struct FileID: Hashable, Sendable {
    let device: UInt64
    let number: UInt64
  }

  package var fileID: FileID? {
    var facts = stat()
    guard lstat(path, &facts) == 0 else { return nil }
    return FileID(device: UInt64(facts.st_dev), number: UInt64(facts.st_ino))
  }

  private func removeStale(_ address: sockaddr_un) throws(UnixSocketError) {
    var facts = stat()
    guard lstat(path, &facts) == 0 else { return }
    guard facts.st_mode & S_IFMT == S_IFSOCK else {
      throw UnixSocketError("there is something at that path that is no socket")
    }
    let probe = try Self.open()
    defer { close(probe) }
    let isAnswered = Self.call(connect, probe, address) == 0 || errno == EAGAIN
    guard !isAnswered else { throw UnixSocketError("another server listens there") }
    guard errno == ECONNREFUSED || errno == ENOENT else { throw failure("connect") }
    unlink(path)
  }

  private static func open() throws(UnixSocketError) -> CInt {
    let socket = Glibc.socket(
      AF_UNIX,
      CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
    guard socket >= 0 else { throw UnixSocketError("socket: \(String(cString: strerror(errno)))") }
    return socket
  }

  private static func call(
    _ function: (CInt, UnsafePointer<sockaddr>?, socklen_t) -> CInt, _ socket: CInt,
    _ address: sockaddr_un
  ) -> CInt {
    withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        function(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  private func groupID() throws(UnixSocketError) -> gid_t? {
    guard let group else { return nil }
    if let number = gid_t(group) { return number }
    var entry = Glibc.group()
    var found: UnsafeMutablePointer<Glibc.group>?
    var room = [CChar](repeating: 0, count: 65_536)
    guard getgrnam_r(group, &entry, &room, room.count, &found) == 0, found != nil else {
      throw UnixSocketError("there is no group \"\(group)\"")
    }
    return entry.gr_gid
  }

  private func check(_ result: CInt, _ what: String) throws(UnixSocketError) {
    guard result == 0 else { throw failure(what) }
  }

  private func failure(_ what: String) -> UnixSocketError {
    UnixSocketError("\(what): \(String(cString: strerror(errno)))")
  }
}

/// Why a socket cannot be made.
package struct UnixSocketError: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}
