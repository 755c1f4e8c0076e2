import Synchronization

/// A line about a run's progress, which overwrites itself on a terminal.
final class LoadProgress: Sendable {
  private let isShown: Bool
  private let isTerminal = StandardError.isTerminal

  init(isShown: Bool) { self.isShown = isShown }

  func say(_ text: String) {
    guard isShown else { return }
    // ECMA-48: erase the line, then write over it.
    if isTerminal { StandardError.write("\r\u{1b}[K\(text)") } else { StandardError.line(text) }
  }

  /// Says what is to be read after the run as well.
  func warn(_ text: String) {
    say("latchkey: \(text)")
    if isShown && isTerminal { StandardError.line("") }
  }

  func report(seconds: Double, perSecond: Double, failed: Int) {
    say("\(decimal(seconds, digits: 0)) s  \(grouped(Int(perSecond)))/s  errors \(grouped(failed))")
  }

  func end() {
    if isShown && isTerminal { StandardError.write("\r\u{1b}[K") }
  }
}
