package import Files
import Synchronization

/// The policy and the tokens of a server, made from files, and made anew where they change.
package final class AccessControl: Sendable {
  /// Paths; nil where there is none of that kind.
  package struct Paths: Hashable, Sendable {
    package var policy: String?
    package var tokens: String?

    package init(policy: String? = nil, tokens: String? = nil) {
      self.policy = policy
      self.tokens = tokens
    }
  }

  /// As of the latest time that the files could be used.
  package struct Current: Sendable {
    /// Nil where everybody may do everything.
    package let policy: Policy?
    /// Nil where nobody has one.
    package let tokens: Tokens?
    /// Another one with each change.
    package let number: Int
  }

  private struct Contents: Equatable {
    let policy: [UInt8]?
    let tokens: [UInt8]?
  }

  package let paths: Paths
  private let state: Mutex<(current: Current, contents: Contents)>

  /// Reads the files, which may block.
  package init(_ paths: Paths) throws(FileError) {
    self.paths = paths
    let contents = try Self.read(paths)
    state = Mutex((try Self.make(contents, paths, number: 1), contents))
  }

  package var current: Current { state.withLock { $0.current } }

  /// Reads the files again, which may block.
  ///
  /// - Returns: Whether there is something new.
  /// - Throws: Where the new contents cannot be used, with each call as long as that is so: what was used before
  ///   stays in use.
  package func refresh() throws(FileError) -> Bool {
    let contents = try Self.read(paths)
    guard contents != state.withLock({ $0.contents }) else { return false }
    let new = try Self.make(contents, paths, number: current.number + 1)
    state.withLock { $0 = (new, contents) }
    return true
  }

  private static func read(_ paths: Paths) throws(FileError) -> Contents {
    var (policy, tokens): ([UInt8]?, [UInt8]?)
    if let path = paths.policy {
      policy = try FileReading.bytes(of: path, max: Policy.bytesMax)
    }
    if let path = paths.tokens {
      tokens = try FileReading.bytes(of: path, max: Tokens.bytesMax)
    }
    return Contents(policy: policy, tokens: tokens)
  }

  private static func make(
    _ contents: Contents, _ paths: Paths, number: Int
  ) throws(FileError) -> Current {
    var (policy, tokens): (Policy?, Tokens?)
    var path = ""
    do throws(LineError) {
      if let bytes = contents.policy {
        path = paths.policy ?? ""
        policy = try Policy(reading: bytes)
      }
      if let bytes = contents.tokens {
        path = paths.tokens ?? ""
        tokens = try Tokens(reading: bytes)
      }
    } catch {
      throw FileError("\(path), \(error)")
    }
    return Current(policy: policy, tokens: tokens, number: number)
  }
}
