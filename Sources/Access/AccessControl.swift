package import Files
import Exclusion
import struct Synchronization.Atomic

/// Who is known to a server and what they may do, made from files, and made anew where they change.
package final class AccessControl: Sendable {
  /// Where it comes from. Paths are nil where there is none of that kind.
  package struct Sources: Hashable, Sendable {
    package var policy: String?
    package var tokens: String?
    package var jwtKeys: String?
    /// With ``jwtKeys``.
    package var jwtTerms: JWTs.Terms?

    package init(
      policy: String? = nil, tokens: String? = nil, jwtKeys: String? = nil,
      jwtTerms: JWTs.Terms? = nil
    ) {
      self.policy = policy
      self.tokens = tokens
      self.jwtKeys = jwtKeys
      self.jwtTerms = jwtTerms
    }
  }

  /// As of the latest time that the files could be used. A class, as every request looks at it.
  package final class Current: Sendable {
    /// Nil where everybody may do everything.
    package let policy: Policy?
    /// Nil where nobody has one.
    package let tokens: Tokens?
    /// Nil where none are taken.
    package let jwts: JWTs?
    /// Another one with each change.
    package let number: Int

    fileprivate init(policy: Policy?, tokens: Tokens?, jwts: JWTs?, number: Int) {
      (self.policy, self.tokens, self.jwts, self.number) = (policy, tokens, jwts, number)
    }
  }

  private struct Contents: Equatable {
    var policy: [UInt8]?
    var tokens: [UInt8]?
    var jwtKeys: [UInt8]?
  }

  private let sources: Sources
  private let state: Mutex<(current: Current, contents: Contents)>
  private let latestRefusal = Mutex<String?>(nil)
  /// That of ``current``, without waiting for anybody.
  private let latestNumber = Atomic<Int>(1)

  /// Reads the files, which may block.
  package init(_ sources: Sources) throws(FileError) {
    self.sources = sources
    let contents = try Self.read(sources)
    state = Mutex((try Self.make(contents, sources, number: 1), contents))
  }

  package var current: Current { state.withLock { $0.current } }
  /// Why the files cannot be used as they were when they were last read; nil where they are in use.
  package var refusal: String? { latestRefusal.withLock { $0 } }
  package var number: Int { latestNumber.load(ordering: .acquiring) }

  /// Reads the files again, which may block.
  ///
  /// - Returns: Whether there is something new.
  /// - Throws: Where the new contents cannot be used, with each call as long as that is so: what was used before
  ///   stays in use.
  package func refresh() throws(FileError) -> Bool {
    do throws(FileError) {
      let isNew = try readAgain()
      latestRefusal.withLock { $0 = nil }
      return isNew
    } catch {
      latestRefusal.withLock { $0 = error.description }
      throw error
    }
  }

  private func readAgain() throws(FileError) -> Bool {
    let contents = try Self.read(sources)
    guard contents != state.withLock({ $0.contents }) else { return false }
    let new = try Self.make(contents, sources, number: number + 1)
    return state.withLock { state in
      // Somebody else may have read it at the same time.
      guard new.number > state.current.number else { return false }
      state = (new, contents)
      latestNumber.store(new.number, ordering: .releasing)
      return true
    }
  }

  private static func read(_ sources: Sources) throws(FileError) -> Contents {
    var contents = Contents()
    if let path = sources.policy {
      contents.policy = try FileReading.bytes(of: path, max: Policy.bytesMax, isRegular: true)
    }
    if let path = sources.tokens {
      contents.tokens = try FileReading.bytes(of: path, max: Tokens.bytesMax, isRegular: true)
    }
    if let path = sources.jwtKeys {
      contents.jwtKeys = try FileReading.bytes(of: path, max: JSONWebKeys.bytesMax, isRegular: true)
    }
    return contents
  }

  private static func make(
    _ contents: Contents, _ sources: Sources, number: Int
  ) throws(FileError) -> Current {
    func used<Made>(
      _ bytes: [UInt8]?, of path: String?, _ make: ([UInt8]) throws -> Made
    ) throws(FileError) -> Made? {
      do {
        return try bytes.map(make)
      } catch {
        throw FileError("\(path ?? ""), \(error)")
      }
    }
    let keys = try used(contents.jwtKeys, of: sources.jwtKeys) { try JSONWebKeys(reading: $0) }
    return Current(
      policy: try used(contents.policy, of: sources.policy) { try Policy(reading: $0) },
      tokens: try used(contents.tokens, of: sources.tokens) { try Tokens(reading: $0) },
      jwts: keys.flatMap { keys in sources.jwtTerms.map { JWTs(keys, $0) } }, number: number)
  }
}
