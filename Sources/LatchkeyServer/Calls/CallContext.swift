import HTTP
import LockCore

/// What a call carries from its arrival on: who asks, who waits for its answer, and since when.
struct CallContext {
  let connection: Connection
  let asker: Asker
  let account: CallAccount
  let exchange: any Exchange
  let metrics: MethodMetrics
  let time: MonotonicTime
}
