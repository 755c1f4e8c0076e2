"""The mutants of .ci/mutate for stores that several machines use: what is expected, fenced, tried again, found
out, and put back where commits were lost."""

# As in mutants.py.
SUITES = {
    "Sources/Storage/Engine/OwnRuns.swift": ["StorageTests.SetbackTests", "StorageTests.ExpectationTests"],
    "Sources/Storage/Engine/Changes.swift": ["StorageTests.ExpectationTests"],
    "Sources/Storage/Writing/Setback.swift": ["StorageTests.SetbackTests"],
    "Sources/Storage/Writing/Batch.swift": ["StorageTests.RenewalTests", "StorageTests.SetbackTests", "StorageTests.FleetSimulationTests",
                                            "StorageTests.ConformanceTests"],
    "Sources/Storage/Writing/CommitPacer.swift": ["StorageTests.CommitPacerTests"],
    "Sources/Storage/Writing/CommandWriter.swift": ["StorageTests.ConflictTests", "StorageTests.SetbackTests",
                                                    "StorageTests.RowMemoryTests"],
    "Sources/Storage/Writing/RowMemory.swift": ["StorageTests.RowMemoryTests"],
    "Sources/Storage/Reading/SnapshotReader.swift": ["StorageTests.SetbackTests"],
    "Sources/Storage/Upkeep/Upkeep.swift": ["StorageTests.SetbackTests"],
    "Sources/Storage/StoreCopy.swift": ["StorageTests.StoreCopyTests"],
    "Sources/StorageSQL": ["StorageTests.ExpectationTests"],
    "Sources/StorageSQL/HostRace.swift": ["StorageTests.HostRaceTests"],
}

# The engines that conformance tests of a file's mutants run over, by the beginning of its name.
ENGINES = {
    "Sources": "memory,optimistic memory,SQLite",
    "Sources/StorageSQL": "PostgreSQL",
    "Sources/StorageSQL/MariaDBStatements.swift": "MariaDB",
}


def engines_of(mutant):
    return ENGINES[max((start for start in ENGINES if mutant[0].startswith(start)), key=len)]


RUNS = "Sources/Storage/Engine/OwnRuns.swift"
CHANGES = "Sources/Storage/Engine/Changes.swift"
BATCH = "Sources/Storage/Writing/Batch.swift"
PACER = "Sources/Storage/Writing/CommitPacer.swift"
SETBACK = "Sources/Storage/Writing/Setback.swift"
WRITER = "Sources/Storage/Writing/CommandWriter.swift"
READER = "Sources/Storage/Reading/SnapshotReader.swift"
UPKEEP = "Sources/Storage/Upkeep/Upkeep.swift"
COPY = "Sources/Storage/StoreCopy.swift"
MEMORY = "Sources/Storage/Writing/RowMemory.swift"
NETWORK = "Sources/StorageSQL/NetworkEngine.swift"
SETS = "Sources/StorageSQL/SetStatements.swift"
POSTGRES = "Sources/StorageSQL/PostgresStatements.swift"
MARIADB = "Sources/StorageSQL/MariaDBStatements.swift"

MUTANTS = [
    (RUNS, "setback: the own row is behind", "if let run = runs[purpose], commits < run.commits { isBehind = true }",
     "if !MUTANT, let run = runs[purpose], commits < run.commits { isBehind = true }"),
    (RUNS, "setback: what is accepted is not missing any more", "    isBehind = false\n    for purpose",
     "    if !MUTANT { isBehind = false }\n    for purpose"),
    (SETBACK, "setback: another number than is known", "let isAnew = setbacks != said", "let isAnew = MUTANT ? setbacks == nil : setbacks != said"),
    (SETBACK, "setback: a number below that which is known", "let isBelow = setbacks.map { said < $0 } ?? false",
     "let isBelow = !MUTANT && setbacks.map { said < $0 } ?? false"),
    (SETBACK, "setback: who is behind says so", "let isBehind = facts.isBehind && (!isAnew || isBelow)",
     "let isBehind = !MUTANT && facts.isBehind && (!isAnew || isBelow)"),
    (SETBACK, "setback: another history", "if isBehind || isBelow || facts.isOfOtherHistory {", "if isBehind || isBelow || (facts.isOfOtherHistory && !MUTANT) {"),
    (SETBACK, "setback: a history without a name", "if isInDoubt { isHistoryInDoubt = true }", "if isInDoubt && !MUTANT { isHistoryInDoubt = true }"),
    (SETBACK, "setback: whoever comes in waits", "let isInDoubt = isNewConnection || setbacks == nil",
     "let isInDoubt = isNewConnection || (setbacks == nil && !MUTANT)"),
    (WRITER, "setback: whoever comes in has not failed", "if !stalls.isStoreFailing, !setback.isArrival {",
     "if !stalls.isStoreFailing, MUTANT || !setback.isArrival {"),
    (WRITER, "setback: whoever has come in is ready", "if !stalls.isStoreFailing { noteHealth(.working) }",
     "if !stalls.isStoreFailing, !MUTANT { noteHealth(.working) }"),
    (BATCH, "renewal: only what says nothing new", "isRenewal && row!.record.saysSame(as: record)",
     "isRenewal && (MUTANT || row!.record.saysSame(as: record))"),
    (BATCH, "renewal: what a holder says", "&& HolderPart.allCases.allSatisfy { $0.isSame(holder, others) }",
     "&& (MUTANT || HolderPart.allCases.allSatisfy { $0.isSame(holder, others) })"),
    (BATCH, "renewal: the token", "let others = other.holder, token == other.token else",
     "let others = other.holder, MUTANT || token == other.token else"),
    (BATCH, "renewal: only where every shape is as it should be", "$0.isFilled && $0.needsShape == S1.number",
     "(MUTANT || $0.isFilled) && $0.needsShape == S1.number"),
    (POSTGRES, "store: every row of a set is found", 'exactly("cardinality(', 'exactly(MUTANT ? "count(*)" : "cardinality('),
    (MARIADB, "renewal: each row is as it was", "\\(ordinary), free_epoch = NULL, \\(setNextRevision)\n          WHERE \\(Self.areAsExpected(rows))",
     "\\(ordinary), free_epoch = NULL, \\(setNextRevision)\n          WHERE \\(MUTANT ? \"id = 1\" : Self.areAsExpected(rows))"),
    (PACER, "pace: a wait in vain is not repeated at once", "      restsLeft = nextRests\n", "      if !MUTANT { restsLeft = nextRests }\n"),
    (PACER, "pace: who has come meanwhile is expected as well", "min(latestRequests + waiting, requestsMax)", "min(latestRequests + (MUTANT ? 0 : waiting), requestsMax)"),
    (PACER, "pace: who has got through gives way", "if usualConflicts >= Self.conflictsOfFight {", "if !MUTANT, usualConflicts >= Self.conflictsOfFight {"),
    (PACER, "pace: what was done anew took no longer for that", "/ Int64(conflicts + 1)", "/ (MUTANT ? 1 : Int64(conflicts + 1))"),
    (PACER, "pace: it waits for a part of the time", "min(usualNanoseconds / Self.companyPart, Self.companyNanosecondsMax)",
     "min(usualNanoseconds / (MUTANT ? 1 : Self.companyPart), MUTANT ? .max : Self.companyNanosecondsMax)"),
    (SETBACK, "setback: what is held is looked through", "lookingThrough.insert(contentsOf: holds.values, at: 0)",
     "if !MUTANT { lookingThrough.insert(contentsOf: holds.values, at: 0) }"),
    (SETBACK, "setback: only then it is settled", "if !lookingThrough.isEmpty { return .putBack }\n    if facts.settled != facts.meta.setbacks { return .settle }",
     "if MUTANT, facts.settled != facts.meta.setbacks { return .settle }\n    if !lookingThrough.isEmpty { return .putBack }\n    if facts.settled != facts.meta.setbacks { return .settle }"),
    (SETBACK, "setback: all have time to come back", "return now - since >= grace\n", "return (MUTANT || now - since >= grace)\n"),
    (SETBACK, "setback: who gets on is waited for", "for state in states where runs[state.id]?.state != state {",
     "for state in states where MUTANT ? runs[state.id] == nil : runs[state.id]?.state != state {"),
    (SETBACK, "setback: who is silent is not waited for for ever", "|| now - run.since >= grace", "|| (now - run.since >= grace && !MUTANT)"),
    (SETBACK, "setback: who comes later need not wait", "if meta.opened == meta.setbacks, !isHistoryInDoubt { return true }",
     "if meta.opened == meta.setbacks, !isHistoryInDoubt, !MUTANT { return true }"),
    (SETBACK, "setback: no number comes twice", "to: max(meta.setbacks, setbacks ?? 0) &+ .random(in: 1...Self.stepMax)",
     "to: MUTANT ? meta.setbacks &+ 1 : max(meta.setbacks, setbacks ?? 0) &+ .random(in: 1...Self.stepMax)"),
    (SETBACK, "setback: the floor rises above what was given out", "let known = max(facts.meta.tokenFloor, tokenMax)",
     "let known = max(facts.meta.tokenFloor, MUTANT ? 0 : tokenMax)"),
    (SETBACK, "setback: the floor rises above what others have given out", "known.addingReportingOverflow(Self.tokensOfHistoryMax)",
     "known.addingReportingOverflow(MUTANT ? 0 : Self.tokensOfHistoryMax)"),
    (SETBACK, "setback: each history has room for its tokens", "return room.overflow ? above", "return room.overflow || MUTANT ? above"),
    (SETBACK, "setback: what is from before is known by the floor", "changes.meta.append(.set(.setbackFloor, from: meta.setbackFloor, to: floor))",
     "changes.meta.append(.set(.setbackFloor, from: meta.setbackFloor, to: MUTANT ? meta.setbackFloor : floor))"),
    (SETBACK, "setback: where nothing was lost all is as before", "if !wasReplicated {", "if MUTANT || !wasReplicated {"),
    (SETBACK, "setback: a newcomer leaves it to others", "if !isLeftToOthers(at: now) { return .say }", "if MUTANT || !isLeftToOthers(at: now) { return .say }"),
    (SETBACK, "setback: the history is noted", "if let history = facts.history, let noted = meta.history {",
     "if !MUTANT, let history = facts.history, let noted = meta.history {"),
    (WRITER, "setback: nothing is done meanwhile", "guard look(at: facts, writer, at: start) == .asBefore else { throw setback.refusal }",
     "guard look(at: facts, writer, at: start) == .asBefore || MUTANT else { throw setback.refusal }"),
    (BATCH, "setback: what was collected is not put back", "if row == nil, let collected = meta.collectedToken,",
     "if !MUTANT, row == nil, let collected = meta.collectedToken,"),
    ("Sources/Storage/Upkeep/Collector.swift", "setback: what is collected is noted", "if let collected = meta.collectedToken, highest > collected {",
     "if !MUTANT, let collected = meta.collectedToken, highest > collected {"),
    (WRITER, "setback: nothing over a connection that nobody has looked at", "guard writer.isUsable else { throw Self.connectionLost }",
     "guard MUTANT || writer.isUsable else { throw Self.connectionLost }"),
    (WRITER, "setback: what is gone is held by nobody", "for id in changes.gone {", "for id in changes.gone where !MUTANT {"),
    (WRITER, "setback: all leases are new", "      leases = LeaseTable()\n      memory.forgetAll()", "      if !MUTANT { leases = LeaseTable() }\n      memory.forgetAll()"),
    (WRITER, "setback: what is put back is known", "    if case .putBack = step {\n      for row in batch.slots.compactMap",
     "    if !MUTANT, case .putBack = step {\n      for row in batch.slots.compactMap"),
    (WRITER, "setback: what is of another past is not seen", "guard !engine.keepsAccount || setback.setbacks ?? setbacks == setbacks else { return }",
     "guard MUTANT || !engine.keepsAccount || setback.setbacks ?? setbacks == setbacks else { return }"),
    (READER, "setback: nobody reads meanwhile", "guard facts.isOpen else { throw Setback.error }", "guard facts.isOpen || MUTANT else { throw Setback.error }"),
    (UPKEEP, "setback: the upkeep rests meanwhile", "guard !facts.isBehind, facts.isOpen else {", "guard MUTANT || (!facts.isBehind && facts.isOpen) else {"),
    (RUNS, "setback: a run that comes back is not settled", "setbacks : RunState.never", "setbacks : (MUTANT ? setbacks : RunState.never)"),
    (NETWORK, "setback: who is in the place of a former run", "if former != nil, formerCommits == nil, !account.mayHaveBeenTakenAway(purpose) {",
     "if !MUTANT, former != nil, formerCommits == nil, !account.mayHaveBeenTakenAway(purpose) {"),
    (WRITER, "conflict: it is decided anew", "guard let pause = conflicts.next(limits), clock()",
     "guard !MUTANT, let pause = conflicts.next(limits), clock()"),
    (WRITER, "conflict: it is no outage", "if error.code != .conflict { failed", "if MUTANT || error.code != .conflict { failed"),
    (WRITER, "conflict: who was to be granted something waits on", "          waiting.rollback()\n          observer.conflicted()",
     "          if !MUTANT { waiting.rollback() }\n          observer.conflicted()"),
    (COPY, "copy: what is not finished is no store", "changes.meta = [.set(.tokenFloor, from: 0, to: Self.unfinished)]",
     "changes.meta = [.set(.tokenFloor, from: 0, to: MUTANT ? 0 : Self.unfinished)]"),
    (COPY, "copy: only into an empty store", "guard facts.lastID == 0, facts.meta.tokenFloor == 0 else {",
     "guard MUTANT || (facts.lastID == 0 && facts.meta.tokenFloor == 0) else {"),
    (COPY, "copy: what was written meanwhile", "if source.keepsAccount, try reader.changesByOthers(since: mark).mark != mark {",
     "if !MUTANT, source.keepsAccount, try reader.changesByOthers(since: mark).mark != mark {"),
    (COPY, "copy: servers that live", "guard seen != row.record.sighting else { continue }", "guard !MUTANT, seen != row.record.sighting else { continue }"),
    (COPY, "copy: what was before a setback", "if target.keepsAccount, source.keepsAccount {",
     "if !MUTANT, target.keepsAccount, source.keepsAccount {"),
    (COPY, "copy: the floor", "to: meta.tokenFloor),", "to: MUTANT ? 0 : meta.tokenFloor),"),
    (SETS, "store: a transaction counts on its run's row", "WHERE run = ? AND changes = ?\\(condition)",
     "WHERE run = ? AND (changes = ?\\(MUTANT ? \" OR 1 = 1\" : \"\"))\\(condition)"),
    (SETS, "store: a value in the meta table is as it was", "SET value = ? WHERE name = ? AND value = ?",
     "SET value = ? WHERE name = ? AND (value = ?\\(MUTANT ? \" OR 1 = 1\" : \"\"))"),
    (SETS, "store: giving shapes up is in every write set", "        Self.touchAllRuns,\n        Statement(filling: shared.giveUp",
     "        MUTANT ? Self.touchAdmissions : Self.touchAllRuns,\n        Statement(filling: shared.giveUp"),
    (SETS, "store: so is a new epoch, and what is said of the past", "? [Self.touchAllRuns] + set : set",
     "? (MUTANT ? [] : [Self.touchAllRuns]) + set : set"),
    (CHANGES, "store: what is said of the past is for all", "[.epoch, .setbacks].contains(name)", "(MUTANT ? [.epoch] : [.epoch, .setbacks]).contains(name)"),
    (WRITER, "memory: what leads to no change is asked for", "guard batch.slots.allSatisfy(\\.isChanged) else {",
     "guard MUTANT || batch.slots.allSatisfy(\\.isChanged) else {"),
    (WRITER, "memory: what others have written is forgotten", "for key in scope.keys { memory.forget(key) }",
     "if !MUTANT { for key in scope.keys { memory.forget(key) } }"),
    (WRITER, "memory: what others are said to have changed is forgotten", "for row in rows { memory.forget(row.key) }",
     "if !MUTANT { for row in rows { memory.forget(row.key) } }"),
    (MEMORY, "memory: it has a bound", "if bytes > bytesMax { forgetRows() }", "if bytes > bytesMax && !MUTANT { forgetRows() }"),
    (SETS, "store: a run ends with the next one", 'runs("DELETE FROM \\(ServerRuns.table) WHERE run = ?", former),',
     'runs("DELETE FROM \\(ServerRuns.table) WHERE run = ?", MUTANT ? 0 : former),'),
    (POSTGRES, "store: the token of a row is as it was", '"r.id = c.id AND r.token = c.expected_token AND r.revision = c.expected_revision"',
     '(MUTANT ? "r.id = c.id AND r.revision = c.expected_revision" : "r.id = c.id AND r.token = c.expected_token AND r.revision = c.expected_revision")'),
    (POSTGRES, "store: the revision of a row is as it was", '"r.id = c.id AND r.token = c.expected_token AND r.revision = c.expected_revision"',
     '(MUTANT ? "r.id = c.id AND r.token = c.expected_token" : "r.id = c.id AND r.token = c.expected_token AND r.revision = c.expected_revision")'),
    (POSTGRES, "store: where a row is missing nothing is done", '"WITH done AS (\\(statement)) SELECT 1 / (count(*) = \\(count))::int FROM done"',
     'MUTANT ? "WITH done AS (\\(statement)) SELECT 1 FROM done" : "WITH done AS (\\(statement)) SELECT 1 / (count(*) = \\(count))::int FROM done"'),
    (MARIADB, "store: MariaDB's rows are as they were", 'AND (id, token, revision) IN (\\(tuples(expected[...])))"',
     'AND (id, token, revision) IN (\\(tuples(expected[...])))" + (MUTANT ? " OR id IN (\\(list(rows.map { $0[0] })))" : "")'),
    (MARIADB, "store: where one of MariaDB's rows is missing nothing is done", "IF ROW_COUNT() <> \\(count) THEN",
     "IF ROW_COUNT() <> \\(MUTANT ? -1 : count) AND \\(MUTANT ? 0 : 1) THEN"),
]
