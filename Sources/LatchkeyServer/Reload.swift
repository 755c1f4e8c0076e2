import Files
import Logging
import Exclusion

/// Has something read again where its files change, and says what became of it.
final class Reload: Sendable {
  /// How often it is looked, in seconds.
  static let interval: Int64 = 5

  private let what: String
  private let refresh: @Sendable () throws(FileError) -> Bool
  private let facts: @Sendable () -> Logger.Metadata
  private let logger: Logger
  private let events: EventAccount
  /// Who looks does so while this is locked.
  private let looking = Mutex(())
  /// Why the files could not be used the last time, and whether that was said.
  private let refusal = Mutex<(reason: String, isSaid: Bool)?>(nil)

  /// - Parameters:
  ///   - what: As it is called in the log, such as "policy".
  ///   - events: Told of what changes as well.
  ///   - facts: What is told of it where there is a new one.
  ///   - refresh: Returns whether there is; throws where there is one that cannot be used.
  init(
    _ what: String, logger: Logger, events: EventAccount,
    facts: @escaping @Sendable () -> Logger.Metadata,
    refresh: @escaping @Sendable () throws(FileError) -> Bool
  ) {
    self.what = what
    self.logger = logger
    self.events = events
    self.facts = facts
    self.refresh = refresh
  }

  /// What it is called among events.
  private var event: String { what.lowercased().split(separator: " ").joined(separator: "-") }

  /// Looks, on a thread that may block.
  ///
  /// - Parameter isAsked: Whether somebody wants to know at once.
  func look(isAsked: Bool) {
    // Who has read older contents must not use them after somebody who has read newer ones.
    looking.withLock { _ in lookAlone(isAsked: isAsked) }
  }

  private func lookAlone(isAsked: Bool) {
    do throws(FileError) {
      let isNew = try refresh()
      let wasRefused = refusal.withLock { refusal in
        defer { refusal = nil }
        return refusal?.isSaid ?? false
      }
      if isNew {
        let facts = facts()
        logger.notice("new \(what) in use", metadata: facts)
        events.changed("\(event)-changed", facts)
      } else if wasRefused {
        logger.notice("\(what) as in use again")
      } else if isAsked {
        logger.notice("\(what) unchanged")
      }
    } catch {
      refused(error.description, isAsked: isAsked)
    }
  }

  /// What belongs together may be in two files: who looks in between finds what does not fit. So it is said at the
  /// second look, and once.
  private func refused(_ reason: String, isAsked: Bool) {
    let isNews = refusal.withLock { refusal in
      let known = refusal?.reason == reason ? refusal : nil
      let isNews = isAsked || known.map { !$0.isSaid } ?? false
      refusal = (reason, isNews || known?.isSaid ?? false)
      return isNews
    }
    guard isNews else { return }
    events.changed("\(event)-refused", ["reason": "\(reason)"])
    logger.error(
      "new \(what) cannot be used; what was used before stays in use",
      metadata: ["reason": "\(reason)"])
  }
}
