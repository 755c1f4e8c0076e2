public import Logging
public import ServiceLifecycle

public struct LeaderElectedService<Child: Service>: Service {
  public init(
    _ key: String, client: LatchkeyClient, value: String = "", lease: Duration = .seconds(15),
    logger: Logger? = nil, makeChild: @escaping @Sendable () -> Child
  ) { fatalError() }

  public func run() async throws { fatalError() }
}
