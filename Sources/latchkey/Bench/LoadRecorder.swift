import NIOCore

/// What came of the requests of one operation.
struct OperationRecord: Equatable, Sendable {
  /// Of successful answers only.
  var latency = LatencyHistogram()
  /// By the code of the error; all codes are the program's own, so there are few.
  var errors: [String: Int] = [:]

  var errorCount: Int { errors.values.reduce(0, +) }

  mutating func merge(_ other: OperationRecord) {
    latency.merge(other.latency)
    errors.merge(other.errors, uniquingKeysWith: +)
  }
}

/// What came of all requests.
struct LoadRecord: Equatable, Sendable {
  private(set) var operations = [OperationRecord](
    repeating: OperationRecord(), count: Operation.allCases.count)

  subscript(operation: Operation) -> OperationRecord {
    _read { yield operations[operation.rawValue] }
    _modify { yield &operations[operation.rawValue] }
  }

  mutating func merge(_ other: LoadRecord) {
    for index in operations.indices { operations[index].merge(other.operations[index]) }
  }

  var total: OperationRecord {
    operations.reduce(into: OperationRecord()) { $0.merge($1) }
  }
}

/// Counts what the connections of one event loop do. Belongs to that loop.
final class LoadRecorder {
  private(set) var record = LoadRecord()
  private(set) var succeeded = 0
  private(set) var failed = 0

  /// - Parameter error: Its code; nil for success.
  func note(_ operation: Operation, begun: NIODeadline, error: String?) {
    if let error {
      failed += 1
      record[operation].errors[error, default: 0] += 1
    } else {
      succeeded += 1
      record[operation].latency.record(nanoseconds: (.now() - begun).nanoseconds)
    }
  }
}
