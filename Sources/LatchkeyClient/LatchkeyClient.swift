package import WireSchema

public final class LatchkeyClient: Sendable {
  public let configuration: Configuration

  public init(_ configuration: Configuration) { self.configuration = configuration }

  public convenience init(endpoints: [String]) throws(LatchkeyError) {
    var parsed: [Endpoint] = []
    for text in endpoints { parsed.append(try Endpoint(text)) }
    self.init(Configuration(endpoints: parsed))
  }

  public func claim(
    _ key: String, owner: String, value: String = "", kind: ResourceKind = .lock, lease: Duration
  ) async throws(LatchkeyError) { fatalError() }

  public func release(_ key: String, owner: String) async throws(LatchkeyError) { fatalError() }

  public func fetch(_ key: String) async throws(LatchkeyError) -> Resource? { fatalError() }

  public func fetchAll(_ kind: ResourceKind) async throws(LatchkeyError) -> [Resource] {
    fatalError()
  }

  public func connectionInfo() async throws(LatchkeyError) -> ConnectionInfo { fatalError() }

  public func shutdown() async { fatalError() }

  package func status() async throws(LatchkeyError) -> Latchkey_Fleet_V1_Status { fatalError() }

  public static func uniqueOwner() -> String { fatalError() }

  public func withLock<R: Sendable>(
    _ key: String, owner: String = LatchkeyClient.uniqueOwner(), value: String = "",
    lease: Duration = .seconds(15), wait: Duration? = nil,
    isolation: isolated (any Actor)? = #isolation, _ body: (LockGrant) async throws -> R
  ) async throws -> R { fatalError() }

  public func withPresence<R: Sendable>(
    _ key: String, owner: String = LatchkeyClient.uniqueOwner(), value: String = "",
    lease: Duration = .seconds(15), wait: Duration? = nil,
    isolation: isolated (any Actor)? = #isolation, _ body: (LockGrant) async throws -> R
  ) async throws -> R { fatalError() }
}
