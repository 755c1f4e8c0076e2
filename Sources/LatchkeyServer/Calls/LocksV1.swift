import HTTP2
import LockCore
import RPC
import Storage
import WireSchema

/// The service `latchkey.v1.Locks`: from its messages to the store's commands and back.
///
/// Wire v1 is the newest version there is, so what it says is what the core does.
struct LocksV1 {
  enum Method: String, CaseIterable {
    case lock = "Lock"
    case release = "Release"
    case fetch = "Fetch"
    case fetchAll = "FetchAll"
  }

  private typealias Kind = LockCore.Kind

  /// What a call asks of the store, and how the outcome becomes its answer.
  struct Work {
    enum Order {
      case command(Command)
      case query(Query)
    }

    var order: Order
    /// What a long answer may take; the call keeps it.
    var share: AnswerBudget.Share?
    var project: UnaryCall.Project

    init(
      _ order: Order, share: AnswerBudget.Share? = nil, _ project: @escaping UnaryCall.Project
    ) {
      self.order = order
      self.share = share
      self.project = project
    }
  }

  /// Reads and judges a request. What only the store can tell is left to it.
  ///
  /// - Parameter answers: What the connection's long answers may take.
  func work(
    _ method: Method, _ request: UnaryRequest, answers: () -> AnswerBudget
  ) throws(RPCError) -> Work {
    switch method {
    case .lock: try lock(request)
    case .release: try release(request)
    case .fetch: try fetch(request)
    case .fetchAll: try fetchAll(request, answers())
    }
  }

  // MARK: - The four calls

  private func lock(_ request: UnaryRequest) throws(RPCError) -> Work {
    let message = try request.codec.decode(Latchkey_V1_LockRequest.self, from: request.body)
    guard message.hasResource else { throw .missingResource }
    let resource = message.resource
    // The order of the checks is Locket's: type, lease, owner.
    let kind = try kind(code: resource.typeCode, name: resource.type)
    guard message.ttlInSeconds > 0 else { throw RPCError(.invalidArgument, "invalid-ttl") }
    guard let lease = Lease(seconds: message.ttlInSeconds) else {
      throw RPCError(
        .invalidArgument, "invalid-ttl: a lease is at most \(Lease.secondsMax) seconds")
    }
    try check(owner: resource.owner)
    try check(key: resource.key)
    guard NameLimits.isText(resource.value, bytesMax: NameLimits.valueBytesMax) else {
      throw RPCError(
        .invalidArgument,
        "invalid-value: a value has at most \(NameLimits.valueBytesMax) bytes of UTF-8, no NUL")
    }
    let holder = Holder(kind: kind, owner: resource.owner, value: resource.value, lease: lease)
    return Work(.command(.claim(key: resource.key, holder: holder))) {
      (outcome, call) throws(RPCError) in
      guard case .claimed = outcome else { throw RPCError(refusal: outcome) }
      return call.codec == .json ? emptyJSON : []
    }
  }

  private func release(_ request: UnaryRequest) throws(RPCError) -> Work {
    let message = try request.codec.decode(Latchkey_V1_ReleaseRequest.self, from: request.body)
    guard message.hasResource else { throw .missingResource }
    try check(owner: message.resource.owner)
    try check(key: message.resource.key)
    let command = Command.release(key: message.resource.key, owner: message.resource.owner)
    return Work(.command(command)) { (outcome, call) throws(RPCError) in
      guard case .released = outcome else { throw RPCError(refusal: outcome) }
      return call.codec == .json ? emptyJSON : []
    }
  }

  private func fetch(_ request: UnaryRequest) throws(RPCError) -> Work {
    let message = try request.codec.decode(Latchkey_V1_FetchRequest.self, from: request.body)
    try check(keyText: message.key)
    return Work(.query(.fetch(key: message.key))) { (outcome, call) throws(RPCError) in
      guard case .found(let record) = outcome else { throw RPCError(refusal: outcome) }
      guard let record, let resource = Latchkey_V1_Resource(record) else {
        throw RPCError(.notFound, "resource-not-found")
      }
      // Before it is encoded: what there is no room for shall cost nothing.
      try call.makeRoom(for: resource.value.utf8.count)
      return try call.codec.encode(Latchkey_V1_FetchResponse.with { $0.resource = resource })
    }
  }

  private func fetchAll(
    _ request: UnaryRequest, _ answers: AnswerBudget
  ) throws(RPCError) -> Work {
    let message = try request.codec.decode(Latchkey_V1_FetchAllRequest.self, from: request.body)
    let kind = try kind(code: message.typeCode, name: message.type)
    let share = answers.share()
    let list = ResourceListV1(codec: request.codec, share: share)
    return Work(.query(.list(kind: kind, into: list)), share: share) {
      (outcome, _) throws(RPCError) in
      guard case .listed(let isComplete) = outcome else { throw RPCError(refusal: outcome) }
      guard isComplete else { throw list.failure }
      return list.takeBody()
    }
  }

  // MARK: - Checks

  private func kind(code: Latchkey_V1_TypeCode, name: String) throws(RPCError) -> Kind {
    let named: Kind? =
      switch name {
      case "lock": .lock
      case "presence": .presence
      default: nil
      }
    let coded: Kind? =
      switch code {
      case .lock: .lock
      case .presence: .presence
      case .unknown, .UNRECOGNIZED: nil
      }
    let kind = code == .unknown ? named : coded
    guard let kind, name.isEmpty || named == kind else {
      throw RPCError(.notFound, "invalid-type")
    }
    return kind
  }

  private func check(owner: String) throws(RPCError) {
    guard !owner.isEmpty else { throw RPCError(.invalidArgument, "invalid-owner") }
    guard NameLimits.isName(owner, bytesMax: NameLimits.ownerBytesMax) else {
      throw RPCError(
        .invalidArgument,
        "invalid-owner: an owner has 1 to \(NameLimits.ownerBytesMax) bytes of UTF-8, no NUL")
    }
  }

  private func check(keyText key: String) throws(RPCError) {
    guard NameLimits.isName(key, bytesMax: NameLimits.keyBytesMax) else {
      throw RPCError(
        .invalidArgument,
        "invalid-key: a key has 1 to \(NameLimits.keyBytesMax) bytes of UTF-8, no NUL")
    }
  }

  private func check(key: String) throws(RPCError) {
    try check(keyText: key)
    guard !ReservedKeys.contains(key) else {
      throw RPCError(
        .invalidArgument,
        "reserved-key: keys that start with \"\(ReservedKeys.prefix)\" belong to the servers")
    }
  }
}

private let emptyJSON = Array("{}".utf8)

extension RPCError {
  fileprivate static let missingResource = RPCError(
    .invalidArgument, "invalid-resource: the request carries no resource")

  /// What an outcome other than the one hoped for means in wire v1.
  fileprivate init(refusal outcome: Outcome) {
    switch outcome {
    case .heldByAnother: self.init(.alreadyExists, "lock-collision")
    case .needsNewerServer(let shape):
      self.init(
        .failedPrecondition,
        "needs-newer-server: the resource uses a feature of store shape s\(shape), "
          + "which this server (\(Release.version)) does not know; ask a newer server of this store"
      )
    default: self.init(.internal, "the store gave an answer that does not belong to the call")
    }
  }
}

extension Latchkey_V1_Resource {
  /// Nil for a record that nobody holds.
  init?(_ record: LockRecord) {
    guard let holder = record.holder else { return nil }
    self.init()
    key = record.key
    owner = holder.owner
    value = holder.value
    type = holder.kind == .lock ? "lock" : "presence"
    typeCode = holder.kind == .lock ? .lock : .presence
  }
}
