#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension LatchkeyClient {
  /// An owner that nobody else is: host, process and 64 random bits, such as "web1/4711/9f…".
  public static func uniqueOwner() -> String {
    let bits = String(UInt64.random(in: .min ... .max), radix: 16)
    return uniqueOwnerPrefix + String(repeating: "0", count: 16 - bits.count) + bits
  }

  /// Whether `owner` came from ``uniqueOwner()`` in this process, so that no other process has it.
  static func isUnique(_ owner: String) -> Bool { owner.hasPrefix(uniqueOwnerPrefix) }

  private static var uniqueOwnerPrefix: String { "\(hostName)/\(getpid())/" }

  /// The host's name, without what would not fit: owners have at most 512 bytes.
  private static let hostName: String = {
    let bytesMax = 255
    // One byte more than is written, so that there is a NUL in any case.
    var name = [CChar](repeating: 0, count: bytesMax + 1)
    guard gethostname(&name, bytesMax) == 0 else { return "unknown-host" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }()
}
