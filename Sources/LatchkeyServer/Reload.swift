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
  private let audit: AuditLog?
  /// Why the files could not be used the last time, and whether that was said.
  private let refusal = Mutex<(reason: String, isSaid: Bool)?>(nil)

  /// - Parameters:
  ///   - what: As it is called in the log.
  ///   - audit: Told of what changes as well.
  ///   - facts: What is told of it where there is a new one.
  ///   - refresh: Returns whether there is; throws where there is one that cannot be used.
  init(
    _ what: String, logger: Logger, audit: AuditLog?,
    facts: @escaping @Sendable () -> Logger.Metadata,
    refresh: @escaping @Sendable () throws(FileError) -> Bool
  ) {
    self.what = what
    self.logger = logger
    self.audit = audit
    self.facts = facts
    self.refresh = refresh
  }

  /// Looks, on a thread that may block.
  ///
  /// - Parameter isAsked: Whether somebody wants to know at once.
  func look(isAsked: Bool) {
    do throws(FileError) {
      let isNew = try refresh()
      refusal.withLock { $0 = nil }
      if isNew {
        let facts = facts()
        logger.notice("a new \(what) is in use", metadata: facts)
        audit?.changed("\(what)-changed", facts)
      } else if isAsked {
        logger.notice("the \(what) has not changed")
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
    audit?.changed("\(what)-refused", ["reason": "\(reason)"])
    logger.error(
      "the new \(what) cannot be used; the one before stays in use",
      metadata: ["reason": "\(reason)"])
  }
}
