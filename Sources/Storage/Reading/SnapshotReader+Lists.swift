import LockCore

// Long lists, page by page: by the keys of rows, or by terms that lead to what is looked for.
extension SnapshotReader {
  func list(
    _ range: Query.Range, into sink: any RecordSink, _ reader: any StoreReader, _ meta: StoreMeta
  ) throws(StoreError) -> Outcome.ListEnd {
    let term = meta.filledShape >= S2.number ? try rareTerm(of: range, reader) : nil
    var range = range
    var room = range.countMax
    // One more than there is room for shows that there are more. Where few are what is looked for, pages grow.
    var limit = room < limits.pageMax ? room + 1 : limits.pageMax
    while sink.isWanted {
      let (rows, latestKey) =
        if let term {
          try page(of: range, withTerm: term, reader, limit)
        } else {
          try page(of: range, reader, limit)
        }
      // A newer server's row may have no owner that could be shown.
      let records = sound(rows).filter { record in
        guard let holder = record.holder, !ReservedKeys.contains(record.key) else { return false }
        return range.isMet(by: holder)
      }
      let page = Array(records.prefix(room))
      guard page.isEmpty || sink.append(page) else { return .stopped }
      guard page.count == records.count else { return .more }
      room -= page.count
      guard let latestKey else { return .complete }
      range.afterKey = latestKey
      limit = min(2 * limit, limits.pageMax)
    }
    return .stopped
  }

  /// Up to `limit` rows of a range, and the key that they go up to; nil where there are no more.
  private func page(
    of range: Query.Range, _ reader: any StoreReader, _ limit: Int
  ) throws(StoreError) -> (rows: [StoredRow], latestKey: String?) {
    let rows = try reader.rows(
      of: range.kind, in: range.keys, limit: limit)
    guard rows.count == limit else { return (rows, nil) }
    // A key that is damaged is no place to go on from: its neighbours would come again for ever.
    guard let last = rows.last(where: { !$0.record.key.isEmpty }) else {
      throw StoreError(.damaged, rows.last?.damage ?? "a key of \(S1.resourceTable) is empty")
    }
    return (rows, last.record.key)
  }

  /// The same, of those that a term leads to.
  private func page(
    of range: Query.Range, withTerm term: String, _ reader: any StoreReader, _ limit: Int
  ) throws(StoreError) -> (rows: [StoredRow], latestKey: String?) {
    let keys = try reader.keys(withTerm: term, in: range.keys, limit: limit)
    var rows: [StoredRow] = []
    for key in keys {
      guard let row = try reader.row(forKey: key) else { continue }
      if row.damage != nil || range.kind == nil || row.record.holder?.kind == range.kind {
        rows.append(row)
      }
    }
    return (rows, keys.count == limit ? keys.last : nil)
  }

  /// Of the terms that lead to what is looked for the one that leads to the least, where any leads to few.
  private func rareTerm(
    of range: Query.Range, _ reader: any StoreReader
  ) throws(StoreError) -> String? {
    let terms = Terms.of(range)
    guard var rarest = terms.first, terms.count > 1 else { return terms.first }
    // What is counted costs a small part of what is read.
    for max in [1, 10, 100].map({ $0 * limits.pageMax }) {
      var least = max
      for term in terms where least > 0 {
        let count = try reader.count(ofTerm: term, in: range.keys, max: least)
        if count < least { (rarest, least) = (term, count) }
      }
      if least < max { break }
    }
    return rarest
  }

  /// A damaged row does not keep the others from being listed, but it is not passed over in silence.
  private func sound(_ rows: [StoredRow]) -> [LockRecord] {
    rows.compactMap { row in
      guard let damage = row.damage else { return row.record }
      observer.skipped(damage: damage)
      return nil
    }
  }
}
