import Glibc
package import NIOCore

/// Finds out where a name leads to; tests have one of their own.
package protocol NameResolver: Sendable {
  /// The addresses of an endpoint, the best first. Takes as long as it likes, and does not block
  /// `loop`.
  func addresses(
    of endpoint: Endpoint, on loop: any EventLoop
  ) -> EventLoopFuture<[SocketAddress]>
}

/// Asks the system: /etc/hosts, DNS and what else nsswitch.conf(5) names, ordered by RFC 6724.
struct SystemResolver: NameResolver {
  func addresses(
    of endpoint: Endpoint, on loop: any EventLoop
  ) -> EventLoopFuture<[SocketAddress]> {
    if let path = endpoint.socketPath {
      return loop.makeCompletedFuture { [try SocketAddress(unixDomainSocketPath: path)] }
    }
    // An address asks nobody, so it does not block.
    if let addresses = try? Self.addresses(of: endpoint, flags: AI_NUMERICHOST) {
      return loop.makeSucceededFuture(addresses)
    }
    let promise = loop.makePromise(of: [SocketAddress].self)
    // getaddrinfo blocks, for half a minute where no server answers. Each look-up has a thread of its
    // own, so that a name that hangs delays no other; a client has one look-up a name.
    let code = DetachedThread.start {
      promise.completeWith(Result { try Self.addresses(of: endpoint, flags: 0) })
    }
    if code != 0 { promise.fail(NameFailure(noThread: code)) }
    return promise.futureResult
  }

  private static func addresses(of endpoint: Endpoint, flags: Int32) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = flags | AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(endpoint.host, String(endpoint.port), &hints, &list)
    guard code == 0 else { throw NameFailure(code: code, errno: errno) }
    defer { freeaddrinfo(list) }
    let entries = sequence(first: list) { $0?.pointee.ai_next }.prefix { $0 != nil }
    return entries.compactMap { $0.flatMap { SocketAddress($0.pointee, of: endpoint) } }
  }
}

/// Why a name leads nowhere.
struct NameFailure: Error, CustomStringConvertible {
  let description: String

  init(code: Int32, errno: Int32) {
    description =
      switch code {
      case EAI_NONAME: "the name is not known"
      case EAI_SYSTEM: String(cString: strerror(errno))
      default: String(cString: gai_strerror(code))
      }
  }

  /// - Parameter code: Why there is no thread to look it up on.
  init(noThread code: Int32) {
    description = "it cannot be looked up without a thread: \(String(cString: strerror(code)))"
  }
}

extension SocketAddress {
  /// Nil for what is not of the internet.
  fileprivate init?(_ info: addrinfo, of endpoint: Endpoint) {
    guard let address = UnsafeRawPointer(info.ai_addr) else { return nil }
    switch info.ai_family {
    case AF_INET: self.init(address.loadUnaligned(as: sockaddr_in.self), host: endpoint.host)
    case AF_INET6: self.init(address.loadUnaligned(as: sockaddr_in6.self), host: endpoint.host)
    default: return nil
    }
  }
}

extension [SocketAddress] {
  /// Each once, and IPv6 and IPv4 by turns (RFC 8305, section 4), so that a family that does not
  /// get through costs one attempt; at most ``ClientLimits/addressesMax``.
  var inTurn: [SocketAddress] {
    var families: [[SocketAddress]] = []
    for address in self {
      if let family = families.firstIndex(where: { $0[0].protocol == address.protocol }) {
        if !families[family].contains(address) { families[family].append(address) }
      } else {
        families.append([address])
      }
    }
    let length = families.map(\.count).max() ?? 0
    let mixed = (0..<length).flatMap { index in
      families.compactMap { index < $0.count ? $0[index] : nil }
    }
    return Array(mixed.prefix(ClientLimits.addressesMax))
  }
}

/// Where a connection goes: one address of an endpoint.
struct Place: Hashable, CustomStringConvertible {
  let endpoint: Endpoint
  let address: SocketAddress

  /// The endpoint and, where that is a name, the address.
  var description: String {
    guard let ip = address.ipAddress, ip != endpoint.host else { return "\(endpoint)" }
    return "\(endpoint) (\(ip))"
  }
}
