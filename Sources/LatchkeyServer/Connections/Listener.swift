/// A place where a server takes connections.
package struct Listener: Hashable, Sendable {
  package enum Place: Hashable, Sendable {
    /// A name or an address, IPv6 without brackets; port 0 takes a free one.
    case tcp(host: String, port: Int)
    /// A socket in the file system, for those on the same machine.
    case unix(UnixSocket)
  }

  /// What is answered there.
  package enum Purpose: Hashable, Sendable {
    /// Calls, and how the server is.
    case all
    /// Calls, and whether they can be answered.
    case calls
    /// How the server is, and no calls.
    case operations
  }

  package var place: Place
  /// Whether TLS is spoken there.
  package var isSecure: Bool
  package var purpose: Purpose

  package init(_ place: Place, isSecure: Bool = false, purpose: Purpose = .all) {
    self.place = place
    self.isSecure = isSecure
    self.purpose = purpose
  }

  /// Whether others on its network can read what is said there.
  package var isExposed: Bool {
    guard !isSecure, case .tcp(let host, _) = place else { return false }
    return host != "localhost" && host != "::1" && !host.hasPrefix("127.")
  }

  var isUnix: Bool { if case .unix = place { true } else { false } }

  /// As one writes it, with the port that was taken: an IPv6 address in brackets.
  package func address(port taken: Int? = nil) -> String {
    switch place {
    case .tcp(let host, let port):
      let scheme = isSecure ? "https://" : ""
      return scheme + (host.contains(":") ? "[\(host)]" : host) + ":\(taken ?? port)"
    case .unix(let socket): return "unix:\(socket.path)"
    }
  }
}
