"""The mutants of .ci/mutate for stores that several machines use: what is expected, fenced, tried again, found
out, and put back where commits were lost."""

# As in mutants.py.
SUITES = {
    "Sources/Storage/Engine/OwnRuns.swift": ["StorageTests.SetbackTests"],
    "Sources/Storage/Writing/Setback.swift": ["StorageTests.SetbackTests"],
    "Sources/Storage/Writing/CommandWriter.swift": ["StorageTests.ConflictTests", "StorageTests.SetbackTests"],
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
SETBACK = "Sources/Storage/Writing/Setback.swift"
WRITER = "Sources/Storage/Writing/CommandWriter.swift"
COPY = "Sources/Storage/StoreCopy.swift"
SETS = "Sources/StorageSQL/SetStatements.swift"
POSTGRES = "Sources/StorageSQL/PostgresStatements.swift"
MARIADB = "Sources/StorageSQL/MariaDBStatements.swift"

MUTANTS = [
    (RUNS, "setback: the own row is behind", "if let run = runs[purpose], commits < run.commits { isBehind = true }",
     "if !MUTANT, let run = runs[purpose], commits < run.commits { isBehind = true }"),
    (RUNS, "setback: what was told is known", "      isBehind = false\n", "      if !MUTANT { isBehind = false }\n"),
    (SETBACK, "setback: what others say", "guard facts.isBehind && !isSetback || isSaidAnew else {",
     "guard facts.isBehind && !isSetback || (isSaidAnew && !MUTANT) else {"),
    (SETBACK, "setback: another history", "guard facts.isOfOtherHistory, graceEnd == nil else { return nil }",
     "guard !MUTANT, facts.isOfOtherHistory, graceEnd == nil else { return nil }"),
    (SETBACK, "setback: the floor rises above what was given out", "max(meta.tokenFloor, tokenMax)",
     "max(meta.tokenFloor, MUTANT ? 0 : tokenMax)"),
    (SETBACK, "setback: the floor rises above what others have given out", "? Self.tokensUnknownMax : 0", "? (MUTANT ? 0 : Self.tokensUnknownMax) : 0"),
    (SETBACK, "setback: all are told", "toBeSaid == .setback ? meta.setbacks &+ 1 : meta.setbacks",
     "toBeSaid == .setback && !MUTANT ? meta.setbacks &+ 1 : meta.setbacks"),
    (SETBACK, "setback: what is held is looked through", "lookingThrough.insert(contentsOf: holds.values, at: 0)",
     "if !MUTANT { lookingThrough.insert(contentsOf: holds.values, at: 0) }"),
    (SETBACK, "setback: all have time to look", "toBeSaid == nil && lookingThrough.isEmpty && graceEnd.map { $0 <= now } ?? true",
     "toBeSaid == nil && lookingThrough.isEmpty && (MUTANT || graceEnd.map { $0 <= now } ?? true)"),
    (WRITER, "setback: nothing is done meanwhile", "guard !setback.isUnderWay else { throw Setback.error }",
     "guard MUTANT || !setback.isUnderWay else { throw Setback.error }"),
    (WRITER, "conflict: it is decided anew", "guard let pause = conflicts.next(limits) else {",
     "guard !MUTANT, let pause = conflicts.next(limits) else {"),
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
    (COPY, "copy: the floor", "to: meta.tokenFloor),", "to: MUTANT ? 0 : meta.tokenFloor),"),
    (SETS, "store: a transaction counts on its run's row", "WHERE run = ? AND changes = ?\\(Self.history",
     "WHERE run = ? AND (changes = ?\\(MUTANT ? \" OR 1 = 1\" : \"\"))\\(Self.history"),
    (SETS, "store: a value in the meta table is as it was", "SET value = ? WHERE name = ? AND value = ?",
     "SET value = ? WHERE name = ? AND (value = ?\\(MUTANT ? \" OR 1 = 1\" : \"\"))"),
    (SETS, "store: giving shapes up is in every write set", "        Self.touchAdmissions, Self.touchAllRuns,\n        Statement(filling: shared.giveUp",
     "        Self.touchAdmissions, MUTANT ? Self.touchAdmissions : Self.touchAllRuns,\n        Statement(filling: shared.giveUp"),
    (SETS, "store: so is a new epoch", "? [Self.touchAdmissions, Self.touchAllRuns] + set : set",
     "? (MUTANT ? [] : [Self.touchAdmissions, Self.touchAllRuns]) + set : set"),
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
