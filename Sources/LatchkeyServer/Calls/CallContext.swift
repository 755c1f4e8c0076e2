import HTTP
import LockCore

/// What a call carries from its arrival on: who asks, who waits for its answer, and since when.
struct CallContext {
  let connection: Connection
  let asker: Asker
  /// What the audit log is told of it; nil where there is none.
  let account: CallAccount?
  let exchange: any Exchange
  let metrics: MethodMetrics
  let time: MonotonicTime
}
