import LockCore

extension SnapshotReader {
  /// Tells the writer what other servers have changed since `mark`.
  func tellNews(since mark: ChangeMark?, to writer: BatchQueue<CommandWriter.Item>) {
    let start = clock()
    var changes: ChangesByOthers?
    do throws(StoreError) {
      changes = try withReader { (reader) throws(StoreError) in
        try reader.changesByOthers(since: mark)
      }
    } catch {
      observer.scanFailed(error)
    }
    writer.appendAlways(.news(changes, nanoseconds: clock() - start))
  }
}
