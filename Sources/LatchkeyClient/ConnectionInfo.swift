/// What a client knows of the server that it talks to.
public struct ConnectionInfo: Sendable, Equatable {
  /// Where the server is.
  public var endpoint: Endpoint
  /// The IP address that the endpoint's name led to.
  public var address: String
  /// The server's release, such as "0.1.0"; nil where it did not say: a proxy hides it.
  public var serverSoftware: String?
  /// The server's id; nil where it did not say.
  public var serverID: String?
  /// The lowest wire version that the server speaks; nil where it did not say.
  public var serverOldestWire: UInt32?
  /// The highest wire version that the server speaks; nil where it did not say.
  public var serverNewestWire: UInt32?
  /// The server's optional abilities by name.
  public var serverFeatures: [String]
  /// The wire version in use; nil where client and server have none in common.
  public var wireVersion: UInt32?
  /// Why it is that version, in words for a person.
  public var reason: String
}
