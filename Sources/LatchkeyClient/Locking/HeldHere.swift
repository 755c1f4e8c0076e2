/// The keys that a task works under: those of the bodies that it was started in.
enum HeldHere {
  private struct Key: Hashable {
    let client: ObjectIdentifier
    let key: String
  }

  @TaskLocal private static var keys: Set<Key> = []

  /// Runs `body`, which holds `key` by `client`.
  static func with<R: Sendable>(
    _ key: String, of client: LatchkeyClient, _ body: @Sendable () async throws -> R
  ) async throws -> R {
    let key = Key(client: ObjectIdentifier(client), key: key)
    return try await $keys.withValue(keys.union([key]), operation: body)
  }

  /// Whether the calling task was started by a body that holds `key` by `client`.
  static func contains(_ key: String, of client: LatchkeyClient) -> Bool {
    keys.contains(Key(client: ObjectIdentifier(client), key: key))
  }
}
