import LockCore

/// A list on its way through the store: what is asked for, and how far that was read.
///
/// `@unchecked Sendable`: handed from thread to thread, of which one at a time uses it.
final class ListReading: @unchecked Sendable {
  let sink: any RecordSink
  let deadline: MonotonicTime?
  let call: any StoreCall
  /// What is still to be read.
  var range: Query.Range
  /// Records that there is still room for.
  var room: Int
  /// Rows of the next page.
  var limit: Int
  /// The term that it goes by, if any; nil before that was decided.
  var way: Way?

  enum Way {
    case byKeys
    case byTerm(String)
  }

  init(
    _ range: Query.Range, into sink: any RecordSink, _ limits: StoreLimits,
    deadline: MonotonicTime?, call: any StoreCall
  ) {
    self.range = range
    self.sink = sink
    self.deadline = deadline
    self.call = call
    room = range.countMax
    // One more than there is room for shows that there are more. Where few are what is looked for, pages grow.
    limit = room < limits.pageMax ? room + 1 : limits.pageMax
  }
}

// Long lists, page by page: by the keys of rows, or by terms that lead to what is looked for.
extension SnapshotReader {
  /// Reads on from one snapshot, for as long as the list may have it. Returns whether that is all.
  func advance(_ list: ListReading) -> Bool {
    let start = clock()
    let result: StoreResult
    if let deadline = list.deadline, deadline <= start {
      result = .failure(.deadlinePassed)
    } else if !list.call.isWanted {
      result = .failure(.unwanted)
    } else if isEnding() {
      result = .failure(.shuttingDown)
    } else {
      do throws(StoreError) {
        let end = try inSnapshot { (reader, meta) throws(StoreError) in
          try read(list, reader, meta, since: start)
        }
        guard let end else { return false }
        result = .success(.listed(end))
      } catch {
        result = .failure(error)
      }
    }
    list.call.replyTarget.deliver([Reply(call: list.call, result: result)])
    return true
  }

  /// - Returns: Nil where there is more, for another snapshot.
  private func read(
    _ list: ListReading, _ reader: any StoreReader, _ meta: StoreMeta, since start: MonotonicTime
  ) throws(StoreError) -> Outcome.ListEnd? {
    let way: ListReading.Way
    if let known = list.way {
      way = known
    } else {
      let term = meta.filledShape >= S2.number ? try rareTerm(of: list.range, reader) : nil
      way = term.map { .byTerm($0) } ?? .byKeys
      list.way = way
    }
    var rowsLeft = list.range.isOfOneMoment ? .max : limits.snapshotRowsMax
    while list.sink.isWanted {
      let (rows, latestKey) =
        switch way {
        case .byTerm(let term): try page(of: list.range, withTerm: term, reader, list.limit)
        case .byKeys: try page(of: list.range, reader, list.limit)
        }
      // A newer server's row may have no owner that could be shown.
      let records = sound(rows).filter { record in
        guard let holder = record.holder, !ReservedKeys.contains(record.key) else { return false }
        return list.range.isMet(by: holder)
      }
      let page = Array(records.prefix(list.room))
      guard page.isEmpty || list.sink.append(page) else { return .stopped }
      guard page.count == records.count else { return .more }
      list.room -= page.count
      guard let latestKey else { return .complete }
      list.range.afterKey = latestKey
      list.limit = min(2 * list.limit, limits.pageMax)
      rowsLeft -= rows.count
      guard !list.range.isOfOneMoment else { continue }
      if rowsLeft <= 0 || clock() - start >= limits.snapshotNanoseconds { return nil }
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
}
