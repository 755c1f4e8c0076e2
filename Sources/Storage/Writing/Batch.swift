import LockCore

/// Decides on everything that was waiting, as one transaction: each request in its turn, on what the ones
/// before it left, and what is left in the end is written once.
///
/// The core decides; this type knows which row belongs to which request, what a row of a newer server or a
/// damaged one forbids, and what has to be written beside the rows. It asks nobody: what it is to know, it
/// is made with (``Wanted``, ``Facts``), and what it changes is a value (``changes``).
struct Batch {
  /// Which rows a batch is about.
  struct Scope {
    /// The keys of its commands, each once.
    fileprivate(set) var keys: [String] = []
    fileprivate var slotOfKey: [NameBytes: Int] = [:]
    /// Leases that may be over.
    let due: [LeaseTable.Due]

    init(due: [LeaseTable.Due] = []) { self.due = due }

    var wanted: Wanted { Wanted(keys: keys, ids: due.map(\.id)) }

    /// - Returns: The slots of `keys`, in their order.
    mutating func add(_ added: [String]) -> [Int] {
      slotOfKey.reserveCapacity(slotOfKey.count + added.count)
      return added.map { key in
        let name = NameBytes(key)
        if let known = slotOfKey[name] { return known }
        slotOfKey[name] = keys.count
        keys.append(key)
        return keys.count - 1
      }
    }
  }

  /// The state of one key in this transaction.
  struct Slot {
    var id: Int64?
    /// What it was when the batch began.
    let sighting: Sighting?
    /// Nil where the store has no row.
    var row: StoredRow?
    var isChanged = false
    /// Whether the store has all of it but for the revision.
    private(set) var isRenewal: Bool
    /// Whether what it is found by may have to be written, and what that was before; nil where that is
    /// not known.
    private var areTermsStale = false
    private var termsBefore: [String]?
    /// What was last granted or renewed in this transaction, where it was freed again.
    var latestHold: LockRecord?

    init(_ row: StoredRow?) {
      id = row?.id
      sighting = row?.record.sighting
      self.row = row
      isRenewal = row.map { $0.isFilled && $0.needsShape == S1.number } ?? false
    }

    mutating func change(to record: LockRecord, epoch: Int64) {
      let isFree = record.holder == nil
      isRenewal = isRenewal && row!.record.saysSame(as: record)
      if isFree, isChanged, let held = row?.record, held.holder != nil { latestHold = held }
      if !areTermsStale, mayChangeTerms(to: record) {
        areTermsStale = true
        termsBefore = hasItsTerms ? Terms.of(row?.record.holder) : nil
      }
      row = StoredRow(
        id: id ?? 0, record: record, needsShape: S1.number, freeEpoch: isFree ? epoch : nil)
      isChanged = true
    }

    private func mayChangeTerms(to record: LockRecord) -> Bool {
      (row != nil && !hasItsTerms) || Terms.mayDiffer(row?.record.holder, record.holder)
    }

    /// Who does not know terms leaves them as they are, also when it deletes a row.
    private var hasItsTerms: Bool { row.map { $0.isFilled && !$0.isOfNewerServer } ?? false }

    /// Nil where there is nothing to be written.
    var termChange: TermChange? {
      guard areTermsStale, let record = row?.record else { return nil }
      return TermChange(key: record.key, before: termsBefore, after: Terms.of(record.holder))
    }
  }

  private let meta: StoreMeta
  /// How long the lease of a row lasts at most; nil where that is not known.
  private let nanosecondsLeft: (StoredRow) -> Int64?
  /// Who is to have a key that becomes free.
  private let waiting: WaitingRoom?
  /// How many keys an identity held before, as far as this server knows.
  private let heldBefore: (String) -> Int
  /// How many more by what was decided so far.
  private var heldSince: [NameBytes: Int] = [:]
  private let due: [LeaseTable.Due]
  private let rowsDue: [StoredRow?]
  private(set) var slots: [Slot]
  private var slotOfKey: [NameBytes: Int]
  private(set) var expired = 0
  /// What became of grants; empty where nobody wants to know.
  private(set) var events: [GrantEvent] = []
  private let wantsEvents: Bool
  /// Why nothing is granted or given back; nil where it is.
  private let refusal: StoreError?

  /// - Parameter facts: What the store says to the wishes of `scope`.
  init(
    _ scope: Scope, _ facts: Facts, waiting: WaitingRoom? = nil,
    wantsEvents: Bool = false, refusal: StoreError? = nil,
    heldBefore: @escaping (String) -> Int = { _ in 0 },
    nanosecondsLeft: @escaping (StoredRow) -> Int64? = { _ in nil }
  ) {
    meta = facts.meta
    slots = facts.byKey.map { Slot($0) }
    slotOfKey = scope.slotOfKey
    due = scope.due
    rowsDue = facts.byID
    self.waiting = waiting
    self.heldBefore = heldBefore
    self.wantsEvents = wantsEvents
    self.refusal = refusal
    self.nanosecondsLeft = nanosecondsLeft
  }

  /// Decides on a command whose keys are in `slots`.
  mutating func apply(_ command: Command, slots: ArraySlice<Int>) -> StoreResult {
    guard case .renewMany(let renewals) = command else {
      return apply(command, slot: slots.first!)
    }
    return .success(
      .many(
        zip(renewals, slots).map { renewal, slot in
          // Whatever there is: who may not ask does not learn it.
          renewal.caller.isDenied
            ? .success(.refused(.denied, nil)) : apply(.renew(renewal), slot: slot)
        }))
  }

  private mutating func apply(_ command: Command, slot: Int) -> StoreResult {
    let row = slots[slot].row
    if let damage = row?.damage { return .failure(StoreError(.damaged, damage)) }
    if let row, row.isOfNewerServer {
      return .success(.refused(reasonOnNewerRow(row, for: command), state(of: row)))
    }
    switch command {
    case .claim(let key, let claim), .claimWaiting(let key, let claim, _):
      // Those who wait were here first.
      if handOver(key, slot: slot) == .reserved {
        return .success(.refused(.heldByAnother, state(of: slots[slot].row)))
      }
      let result = self.claim(key, claim, slot: slot)
      handOver(key, slot: slot)
      return result
    case .renewOwn(let key, let claim):
      handOver(key, slot: slot)
      let row = slots[slot].row
      guard let holder = row?.record.holder, claim.isOfOwner(holder) else {
        return .success(.refused(.heldByAnother, state(of: row)))
      }
      return self.claim(key, claim, slot: slot)
    case .withdraw(let key, let sighting):
      if let freed = Decisions.expire(seenAs: sighting, on: row?.record) {
        note(.released, freed, of: row?.record.holder)
        change(slot, to: freed)
        handOver(key, slot: slot)
      }
      return .success(.released)
    case .renew(let renewal):
      let verdict = Decisions.renew(
        token: renewal.token, lease: renewal.lease, content: renewal.content,
        labels: renewal.labels, grantedAt: renewal.grantedAt, caller: renewal.caller,
        on: row?.record)
      switch verdict {
      case .renewed(let next):
        note(.renewed, next, of: next.holder, by: renewal.caller)
        change(slot, to: next)
        return .success(.renewed(next))
      case .refused(let refusal):
        if wantsEvents, refusal == .notTheHolder {
          events.append(
            GrantEvent(lost: renewal.key, token: renewal.token, by: renewal.caller))
        }
        return result(of: refusal, on: row)
      }
    case .renewMany: preconditionFailure("several renewals are taken one by one")
    case .release(let key, let name):
      switch Decisions.release(name, on: row?.record) {
      case .released(let next):
        if let refusal { return .failure(refusal) }
        note(.released, next, of: row?.record.holder, by: name.caller)
        change(slot, to: next)
        handOver(key, slot: slot)
        return .success(.released)
      case .alreadyFree: return .success(.released)
      case .refused(let refusal): return result(of: refusal, on: row)
      }
    }
  }

  private mutating func claim(_ key: String, _ claim: Claim, slot: Int) -> StoreResult {
    let row = slots[slot].row
    let verdict = Decisions.claim(
      key: key, claim, on: row?.record, tokenFloor: meta.tokenFloor,
      setbackFloor: meta.setbackFloor)
    switch verdict {
    case .granted(let next):
      if let refusal { return .failure(refusal) }
      if let max = claim.caller.heldMax, !mayHoldMore(claim.caller, than: max) {
        return .success(.refused(.tooManyHeld(max: max), nil))
      }
      note(.granted, next, of: next.holder, by: claim.caller)
      change(slot, to: next)
      return .success(.claimed(token: next.token, revision: next.revision, isNewGrant: true))
    case .renewed(let next):
      note(.renewed, next, of: next.holder, by: claim.caller)
      change(slot, to: next)
      return .success(.claimed(token: next.token, revision: next.revision, isNewGrant: false))
    case .refused(let refusal): return result(of: refusal, on: row)
    }
  }

  /// Grants `key` to the first one who waits for it, if it is free, and to all who wait for it in the
  /// name of its holder.
  @discardableResult
  private mutating func handOver(_ key: String, slot: Int) -> WaitingRoom.HandOver {
    // Who waits goes on to wait where nothing is granted.
    guard let waiting, !waiting.isEmpty, refusal == nil else { return .nobody }
    if let row = slots[slot].row, row.damage != nil || row.isOfNewerServer { return .nobody }
    var handedOver = WaitingRoom.HandOver.answered
    while slots[slot].row?.record.holder == nil, handedOver == .answered {
      handedOver = waiting.grantNext(of: key) { claim(key, $0, slot: slot) }
    }
    if let holder = slots[slot].row?.record.holder {
      waiting.grantAll(of: key, to: holder) { claim(key, $0, slot: slot) }
    }
    return handedOver
  }

  /// Looks at keys that are waited for: another server may have freed them.
  mutating func handOver(_ keys: [String], slots: ArraySlice<Int>) {
    for (key, slot) in zip(keys, slots) { handOver(key, slot: slot) }
  }

  /// Ends the leases that are due of which nobody wrote the row since it was seen. Returns the slot of
  /// each, nil where there is no row any more.
  mutating func expire() -> [Int?] {
    var positions: [Int?] = []
    for (due, row) in zip(due, rowsDue) {
      guard let row else {
        positions.append(nil)
        continue
      }
      let name = NameBytes(row.record.key)
      let slot = slotOfKey[name] ?? slots.count
      if slot == slots.count {
        slotOfKey[name] = slot
        slots.append(Slot(row))
      }
      positions.append(slot)
      guard let current = slots[slot].row, current.damage == nil else { continue }
      if let freed = Decisions.expire(seenAs: due.sighting, on: expirable(current)) {
        note(.ended, freed, of: current.record.holder)
        change(slot, to: freed)
        expired += 1
        handOver(current.record.key, slot: slot)
      }
    }
    return positions
  }

  /// Puts back what the store has lost; nothing where it has it, or what came later.
  mutating func putBack(_ hold: Setback.Hold, slot: Int) {
    let row = slots[slot].row
    // Where the row was freed and deleted, this server was away too long to hear of it. A row that was lost as it
    // came into being had a token above the floor, and so above all that were deleted before.
    if row == nil, let collected = meta.collectedToken, hold.sighting.token <= collected { return }
    guard row?.damage == nil, row?.isOfNewerServer != true,
      row?.record.token ?? 0 < hold.sighting.token || isOfNobody(row, hold)
    else { return }
    let revision = max(hold.sighting.revision, row?.record.revision ?? 0)
    guard revision < .max else { return }
    let present = isOfNobody(row, hold) ? row?.record.holder : nil
    var holder =
      present
      ?? Holder(kind: hold.kind, owner: hold.owner, content: .empty, lease: hold.lease)
    holder.identity = hold.identity
    let record = LockRecord(
      key: hold.key, holder: holder, token: hold.sighting.token, revision: revision + 1)
    note(.putBack, record, of: holder)
    change(slot, to: record)
  }

  /// Whether somebody who knows no identities has put it back.
  private func isOfNobody(_ row: StoredRow?, _ hold: Setback.Hold) -> Bool {
    guard let record = row?.record, let holder = record.holder else { return false }
    return record.token == hold.sighting.token && holder.identity.isEmpty
      && !hold.identity.isEmpty && holder.owner.isSameName(as: hold.owner)
  }

  private var changedSlots: [Int] { slots.indices.filter { slots[$0].isChanged } }

  /// What is to be written.
  var changes: Changes {
    var changes = Changes(maintaining: meta.oldestShape)
    changes.rows = changedSlots.map { index in
      let slot = slots[index]
      let record = slot.row!.record
      var change = RowChange(
        id: slot.id, expected: slot.sighting, record: record,
        interim: record.holder == nil ? slot.latestHold : nil, epoch: meta.epoch)
      change.isRenewal = slot.isRenewal
      return change
    }
    changes.terms = slots.compactMap(\.termChange)
    return changes
  }

  /// What was to be written is done.
  ///
  /// - Parameter ids: Of the rows in ``changes``.
  mutating func done(ids: [Int64]) {
    for (slot, id) in zip(changedSlots, ids) {
      slots[slot].id = id
      slots[slot].row!.id = id
    }
  }

  private mutating func note(
    _ what: GrantEvent.What, _ record: LockRecord, of holder: Holder?, by caller: Caller? = nil
  ) {
    guard wantsEvents, let holder else { return }
    let event = GrantEvent(what, record, of: holder, by: caller)
    if what != .renewed || event.isBreak { events.append(event) }
  }

  private func mayHoldMore(_ caller: Caller, than max: Int) -> Bool {
    guard !caller.identity.isEmpty else { return true }
    return heldBefore(caller.identity) + heldSince[NameBytes(caller.identity), default: 0] < max
  }

  private mutating func count(_ change: Int, of identity: String) {
    if !identity.isEmpty { heldSince[NameBytes(identity), default: 0] += change }
  }

  private mutating func change(_ slot: Int, to record: LockRecord) {
    let (before, after) = (
      slots[slot].row?.record.holder?.identity ?? "", record.holder?.identity ?? ""
    )
    if !before.isSameText(as: after) {
      count(-1, of: before)
      count(1, of: after)
    }
    slots[slot].change(to: record, epoch: meta.epoch)
  }

  /// Whoever is not the holder is told so; all else is for a newer server to say.
  private func reasonOnNewerRow(_ row: StoredRow, for command: Command) -> Outcome.Reason {
    let newer = Outcome.Reason.needsNewerServer(shape: row.needsShape)
    guard let holder = row.record.holder else { return newer }
    switch command {
    case .claim(_, let claimant), .claimWaiting(_, let claimant, _), .renewOwn(_, let claimant):
      return claimant.isOfOwner(holder) ? newer : .heldByAnother
    case .renew(let renewal):
      return renewal.token == row.record.token ? newer : .notTheHolder
    case .release(_, let name):
      return name.means(row.record) ? newer : .notTheHolder
    case .withdraw: return .notTheHolder
    case .renewMany: preconditionFailure("several renewals are taken one by one")
    }
  }

  private func state(of row: StoredRow?) -> HeldState? {
    guard let row else { return nil }
    let left = row.record.holder.map { nanosecondsLeft(row) ?? $0.lease.nanoseconds }
    return HeldState(record: row.record, nanosecondsLeft: left ?? 0)
  }

  private func result(of refusal: Refusal, on row: StoredRow?) -> StoreResult {
    switch refusal {
    case .heldByAnother: .success(.refused(.heldByAnother, state(of: row)))
    case .notTheHolder: .success(.refused(.notTheHolder, state(of: row)))
    case .ofAnotherIdentity: .success(.refused(.ofAnotherIdentity, state(of: row)))
    case .tooManyLabels: .success(.refused(.tooManyLabels, state(of: row)))
    case .numbersExhausted:
      .failure(
        StoreError(
          .damaged, "row \(row?.id ?? 0) of \(S1.resourceTable) has run out of numbers"))
    }
  }

  /// A newer server's row may be without a holder that s1 can name: its lease ends all the same.
  private func expirable(_ row: StoredRow) -> LockRecord {
    var record = row.record
    if record.holder == nil, row.isOfNewerServer {
      record.holder = Holder(kind: .lock, owner: "", content: .empty, lease: .longest)
    }
    return record
  }
}

extension LockRecord {
  /// Whether the same holder says the same under the same token.
  fileprivate func saysSame(as other: LockRecord) -> Bool {
    guard let holder, let others = other.holder, token == other.token else { return false }
    return holder.kind == others.kind && holder.owner.isSameName(as: others.owner)
      && HolderPart.allCases.allSatisfy { $0.isSame(holder, others) }
  }
}
