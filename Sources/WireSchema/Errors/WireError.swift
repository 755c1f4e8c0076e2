package import SwiftProtobuf

/// An error of a call as its wire version puts it: a code of the Connect protocol, a word that stays
/// the same for programs, an explanation for people, and details.
package struct WireError: Error, Sendable {
  /// Those codes of the Connect protocol that errors of a resource have.
  package enum Code: String, Sendable {
    case aborted
    case alreadyExists = "already_exists"
    case failedPrecondition = "failed_precondition"
    case `internal`
    case invalidArgument = "invalid_argument"
    case notFound = "not_found"
    case permissionDenied = "permission_denied"
    case resourceExhausted = "resource_exhausted"
  }

  package var code: Code
  /// Such as "held-by-another".
  package var word: String
  /// Empty where the word says it all.
  package var explanation: String
  package var details: [any Message]

  package init(
    _ code: Code, _ word: String, _ explanation: String = "", details: [any Message] = []
  ) {
    self.code = code
    self.word = word
    self.explanation = explanation
    self.details = details
  }

  /// As it travels.
  package var message: String { explanation.isEmpty ? word : "\(word): \(explanation)" }

  /// Reads what ``message`` wrote.
  package init(_ code: Code, message: String, details: [any Message] = []) {
    // By bytes: looking for characters normalises all that a peer sent.
    let separator = message.utf8.firstRange(of: ": ".utf8)
    word = String(separator.map { message[..<$0.lowerBound] } ?? message[...])
    explanation = String(separator.map { message[$0.upperBound...] } ?? "")
    self.code = code
    self.details = details
  }
}

/// What a peer's wire version cannot carry, by name.
package struct Inexpressible: Error, Equatable, Sendable {
  /// In words for a person, such as "renewal by token".
  package var feature: String
  /// The oldest wire version that can carry it.
  package var needs: UInt32

  package init(_ feature: String, needs: UInt32) {
    self.feature = feature
    self.needs = needs
  }
}
