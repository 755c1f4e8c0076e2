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
  /// The part of it that is being read; nil where nothing is left.
  var stretch: KeySet.Stretch?
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
    stretch = range.firstStretch
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
  /// Reads on for as long as the list has its turn. Returns whether that is all.
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
        let end =
          list.range.isOfOneMoment
          ? try inOneMoment { () throws(StoreError) in try read(list, since: start) }
          : try read(list, since: start)
        guard let end else { return false }
        result = .success(.listed(end))
      } catch {
        result = .failure(error)
      }
    }
    list.call.replyTarget.deliver([Reply(call: list.call, result: result)])
    return true
  }

  /// - Returns: Nil where there is more, for another turn.
  private func read(
    _ list: ListReading, since start: MonotonicTime
  ) throws(StoreError) -> Outcome.ListEnd? {
    guard list.stretch != nil else { return .complete }
    var rowsLeft = list.range.isOfOneMoment ? .max : limits.listTurnRowsMax
    let way: ListReading.Way
    if let known = list.way { way = known } else { way = try self.way(of: list.range) }
    list.way = way
    while list.sink.isWanted {
      guard let stretch = list.stretch else { return .complete }
      let (rows, latestKey): ([StoredRow], String?)
      if stretch.isOneKey {
        (rows, latestKey) = (try names(from: stretch, of: list), nil)
      } else {
        let keys = KeyRange(
          prefix: list.range.prefix, after: list.range.afterKey, within: stretch.text)
        (rows, latestKey) =
          switch way {
          case .byTerm(let term):
            try page(of: list.range.kind, in: keys, withTerm: term, list.limit)
          case .byKeys: try page(of: list.range.kind, in: keys, list.limit)
          }
      }
      // A newer server's row may have no owner that could be shown.
      let records = sound(rows).filter { record in
        guard let holder = record.holder, !ReservedKeys.contains(record.key) else { return false }
        return list.range.visible.contains(record.key) && list.range.isMet(by: holder)
      }
      let page = Array(records.prefix(list.room))
      guard page.isEmpty || list.sink.append(page) else { return .stopped }
      guard page.count == records.count else { return .more }
      list.room -= page.count
      if let latestKey {
        list.range.afterKey = latestKey
      } else {
        list.stretch = list.range.stretch(after: list.stretch!)
      }
      list.limit = min(2 * list.limit, limits.pageMax)
      rowsLeft -= rows.count
      if let deadline = list.deadline, deadline <= clock() { throw .deadlinePassed }
      guard !list.range.isOfOneMoment else { continue }
      if rowsLeft <= 0 || clock() - start >= limits.listTurnNanoseconds { return nil }
    }
    return .stopped
  }

  /// The rows of keys that follow each other in what is asked for, from `stretch` on, each of which is a stretch by
  /// itself. The list's stretch is the last of them afterwards.
  private func names(
    from stretch: KeySet.Stretch, of list: ListReading
  ) throws(StoreError) -> [StoredRow] {
    var (next, names): (KeySet.Stretch?, [String]) = (stretch, [])
    while let name = next, name.isOneKey, names.count < limits.keysReadMax {
      list.stretch = name
      if list.range.keys.contains(name.text) { names.append(name.text) }
      next = list.range.stretch(after: name)
    }
    guard !names.isEmpty else { return [] }
    return try read(Wanted(keys: names)).byKey.compactMap { row in
      guard let row, row.damage != nil || row.record.holder != nil else { return nil }
      return row.mayBe(list.range.kind) ? row : nil
    }
  }

  /// Up to `limit` rows of a range, and the key that they go up to; nil where there are no more.
  private func page(
    of kind: Kind?, in keys: KeyRange, _ limit: Int
  ) throws(StoreError) -> (rows: [StoredRow], latestKey: String?) {
    let wanted = Wanted(page: .held(kind: kind, in: keys, limit: limit))
    let rows = try read(wanted).rows
    guard rows.count == limit else { return (rows, nil) }
    // A key that is damaged is no place to go on from: its neighbours would come again for ever.
    guard let last = rows.last(where: { !$0.record.key.isEmpty }) else {
      throw StoreError(.damaged, rows.last?.damage ?? "a key of \(S1.resourceTable) is empty")
    }
    return (rows, last.record.key)
  }

  /// The same, of those that a term leads to.
  private func page(
    of kind: Kind?, in keys: KeyRange, withTerm term: String, _ limit: Int
  ) throws(StoreError) -> (rows: [StoredRow], latestKey: String?) {
    let facts = try read(Wanted(page: .found(byTerm: term, in: keys, limit: limit)))
    let rows = facts.rows.filter { $0.mayBe(kind) }
    return (rows, facts.latestKeyFound)
  }

  /// Of the terms that lead to what is looked for the one that leads to the least, where any leads to few.
  private func way(of range: Query.Range) throws(StoreError) -> ListReading.Way {
    let terms = Terms.of(range)
    guard engine.shapes.haveTerms, var rarest = terms.first else { return .byKeys }
    // What is counted costs a small part of what is read.
    for max in [1, 10, 100].map({ $0 * limits.pageMax }) {
      var wanted = Wanted()
      if terms.count > 1 {
        wanted.counts = terms.map { Wanted.TermCount(term: $0, range: range.keys, max: max) }
      }
      let facts = try read(wanted)
      // Before, servers write here that know of no terms.
      guard facts.meta.filledShape >= S2.number else { return .byKeys }
      let least = zip(facts.counts, terms).min { $0.0 < $1.0 }
      guard let least else { break }
      rarest = least.1
      if least.0 < max { break }
    }
    return .byTerm(rarest)
  }
}

extension StoredRow {
  /// Whether it is of a kind, nil standing for every one, or damaged: that is not passed over.
  fileprivate func mayBe(_ kind: Kind?) -> Bool {
    damage != nil || kind == nil || record.holder?.kind == kind
  }
}
