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

    fileprivate func path(of part: Part) -> String? {
      switch part {
      case .policy: policy
      case .tokens: tokens
      case .jwtKeys: jwtKeys
      }
    }
  }

  /// One of the files. Each is used as of the latest time that it could be, whatever becomes of the others.
  package enum Part: String, CaseIterable, Sendable {
    case policy
    case tokens
    case jwtKeys = "JWT keys"
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
    /// Another one with each change of ``jwts``.
    package let jwtsNumber: Int

    fileprivate init(
      policy: Policy?, tokens: Tokens?, jwts: JWTs?, number: Int, jwtsNumber: Int
    ) {
      (self.policy, self.tokens, self.jwts) = (policy, tokens, jwts)
      (self.number, self.jwtsNumber) = (number, jwtsNumber)
    }
  }

  private struct State {
    var current: Current
    /// What is in use of each file.
    var contents: [Part: [UInt8]]
    /// Why a file cannot be used as it was when it was last read.
    var refusals: [Part: String] = [:]
  }

  private let sources: Sources
  private let state: Mutex<State>
  /// That of ``current``, without waiting for anybody.
  private let latestNumber = Atomic<Int>(1)

  /// Reads the files, which may block.
  package init(_ sources: Sources) throws(FileError) {
    self.sources = sources
    var current = Current(policy: nil, tokens: nil, jwts: nil, number: 1, jwtsNumber: 1)
    var contents: [Part: [UInt8]] = [:]
    for part in Part.allCases {
      guard let path = sources.path(of: part) else { continue }
      let bytes = try Self.read(part, at: path)
      current = try Self.made(current, with: bytes, as: part, at: path, sources, number: 1)
      contents[part] = bytes
    }
    state = Mutex(State(current: current, contents: contents))
  }

  package var current: Current { state.withLock { $0.current } }
  package var number: Int { latestNumber.load(ordering: .acquiring) }
  /// The files that there are.
  package var parts: [Part] { Part.allCases.filter { sources.path(of: $0) != nil } }

  /// Why files cannot be used as they were when they were last read; empty where all are in use.
  package var refusals: [String] {
    state.withLock { state in Part.allCases.compactMap { state.refusals[$0] } }
  }

  /// Reads one of the files again, which may block.
  ///
  /// - Returns: Whether there is something new.
  /// - Throws: Where the new contents cannot be used, with each call as long as that is so: what was used before
  ///   stays in use.
  package func refresh(_ part: Part) throws(FileError) -> Bool {
    guard let path = sources.path(of: part) else { return false }
    do throws(FileError) {
      let isNew = try refresh(part, at: path)
      state.withLock { $0.refusals[part] = nil }
      return isNew
    } catch {
      state.withLock { $0.refusals[part] = error.description }
      throw error
    }
  }

  private func refresh(_ part: Part, at path: String) throws(FileError) -> Bool {
    let bytes = try Self.read(part, at: path)
    while true {
      let (old, contents) = state.withLock { ($0.current, $0.contents[part]) }
      guard bytes != contents else { return false }
      let new = try Self.made(
        old, with: bytes, as: part, at: path, sources, number: old.number + 1)
      // Another file may have been read at the same time.
      let isStill = state.withLock { state in
        guard state.current.number == old.number else { return false }
        (state.current, state.contents[part]) = (new, bytes)
        latestNumber.store(new.number, ordering: .releasing)
        return true
      }
      if isStill { return true }
    }
  }

  private static func read(_ part: Part, at path: String) throws(FileError) -> [UInt8] {
    let max =
      switch part {
      case .policy: Policy.bytesMax
      case .tokens: Tokens.bytesMax
      case .jwtKeys: JSONWebKeys.bytesMax
      }
    let bytes = try FileReading.bytes(of: path, max: max, isRegular: true)
    // Some editors put a mark of UTF-8 before the text.
    let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    return bytes.starts(with: mark) ? Array(bytes.dropFirst(mark.count)) : bytes
  }

  private static func made(
    _ old: Current, with bytes: [UInt8], as part: Part, at path: String, _ sources: Sources,
    number: Int
  ) throws(FileError) -> Current {
    var (policy, tokens, jwts, jwtsNumber) = (old.policy, old.tokens, old.jwts, old.jwtsNumber)
    do {
      switch part {
      case .policy: policy = try Policy(reading: bytes)
      case .tokens: tokens = try Tokens(reading: bytes)
      case .jwtKeys:
        let keys = try JSONWebKeys(reading: bytes)
        (jwts, jwtsNumber) = (sources.jwtTerms.map { JWTs(keys, $0) }, number)
      }
    } catch {
      throw FileError("\(path), \(error)")
    }
    return Current(
      policy: policy, tokens: tokens, jwts: jwts, number: number, jwtsNumber: jwtsNumber)
  }
}
