package import Storage

extension StoreWriter {
  /// One transaction that changes what `decide` says, whatever there is.
  package func change(
    _ decide: (Facts, inout Changes) -> Void
  ) throws(StoreError) {
    let facts = try read(Wanted())
    var changes = Changes(maintaining: facts.meta.oldestShape)
    decide(facts, &changes)
    guard case .done = try apply(changes) else { throw .conflict }
  }

  /// Sets what keys are found by, whatever that is now.
  package func setTerms(_ terms: [String], ofKeys keys: [String]) throws(StoreError) {
    try change { _, changes in
      changes.terms = keys.map { TermChange(key: $0, before: nil, after: terms) }
    }
  }
}
