/// Why the store did not do what it was asked.
package struct StoreError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Code: Equatable, Sendable {
    /// The database cannot be used at the moment; later it may. Nothing is known to be done.
    case unavailable
    /// The database holds a shape that this server is too old for.
    case tooOldServer
    /// What is there is no database of Latchkey's.
    case unusable
    /// There is no store, and none is to be made.
    case missing
    /// A bound of this server was reached.
    case overloaded
    /// The request's own deadline passed before its turn came; nothing was done.
    case deadlineExceeded
    /// Whoever asked is gone; nothing was done.
    case unwanted
    /// Other servers changed the same rows each time that it was tried; nothing was done.
    case conflict
    /// A row is not as any shape says.
    case damaged
  }

  package var code: Code
  /// For a person: what happened and, where possible, what to do.
  package var message: String
  /// Whether nobody has to do anything about it, as far as can be told: another process has the store, or a disk has
  /// room again later.
  package var mayPass = false

  package init(_ code: Code, _ message: String, mayPass: Bool = false) {
    self.code = code
    self.message = message
    self.mayPass = mayPass
  }

  package var description: String { message }

  package static let shuttingDown = StoreError(.unavailable, "the server is shutting down")
  package static let conflict = StoreError(
    .conflict, "other servers kept changing the same keys; nothing was done, try again")
  package static let unwanted = StoreError(.unwanted, "nobody waits for it any more")
  package static let deadlinePassed = StoreError(
    .deadlineExceeded, "the request's deadline passed before the store could do it")
}
