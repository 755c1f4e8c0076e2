/// Why there is no connection: what the latest try at each endpoint brought, since a server served.
struct Failures {
  /// Endpoints whose reasons are told.
  private static let toldMax = 3

  /// The latest one last.
  private var errors: [(endpoint: Endpoint, error: LatchkeyError)] = []

  mutating func note(_ error: LatchkeyError, of endpoint: Endpoint) {
    forget(endpoint)
    errors.append((endpoint, error))
  }

  mutating func forget(_ endpoint: Endpoint) { errors.removeAll { $0.endpoint == endpoint } }

  mutating func clear() { errors = [] }

  var latest: LatchkeyError? { errors.last?.error }

  /// The latest one of an endpoint.
  func latest(of endpoint: Endpoint) -> LatchkeyError? {
    errors.first { $0.endpoint == endpoint }?.error
  }

  /// The reasons of all endpoints in one error.
  ///
  /// - Parameter excluded: One that is left out.
  func all(but excluded: Endpoint? = nil) -> LatchkeyError? {
    let errors = errors.filter { $0.endpoint != excluded }
    guard errors.count > 1 else { return errors.first?.error }
    var messages: [String] = []
    for message in errors.map(\.error.message) where !messages.contains(message) {
      messages.append(message)
    }
    let left = messages.count - Self.toldMax
    let reasons = messages.suffix(Self.toldMax).joined(separator: "; ")
    return LatchkeyError(.unavailable, reasons + (left > 0 ? "; and \(left) more" : ""))
  }
}
