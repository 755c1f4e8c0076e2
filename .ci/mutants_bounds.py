"""The mutants of .ci/mutate that take a bound, a turn or a sign of life away from what serves many peers."""

# As in mutants.py. Single tests where a suite of the running program takes long.
SUITES = {
    "Sources/HTTP": ["HTTPTests.TakenBackTests", "HTTPTests.ClosedStreamTests"],
    "Sources/HTTP/RoomBudget.swift": ["HTTPTests.RoomBudgetTests", "HTTPTests.AnswerRoomTests"],
    "Sources/HTTP/HTTP2/HTTP2ServerHandler.swift": ["HTTPTests.AnswerRoomTests", "HTTPTests.TakenBackTests"],
    "Sources/HTTP/HTTP2/HTTP2ServerHandler+Arriving.swift": ["HTTPTests.AnswerRoomTests"],
    "Sources/HTTP/HTTP2/HTTP2ServerHandler+SignsOfLife.swift": ["HTTPTests.SignOfLifeTests", "HTTPTests.GonePeerTests"],
    "Sources/HTTP/HTTP2/HTTP2ServerHandler+Frames.swift": ["HTTPTests.TakenBackTests", "HTTPTests.GonePeerTests"],
    "Sources/HTTP/TCPKeepAlive.swift": ["LatchkeyClientTests.SocketTests"],
    "Sources/HTTPServer": ["HTTPServerTests.HTTP1BoundsTests", "HTTPServerTests.HTTP1FramingTests"],
    "Sources/HTTPServer/PacedReads.swift": ["HTTPServerTests.PacedReadsTests", "LatchkeyServerTests.OthersTurnTests"],
    "Sources/HTTPServer/Turns.swift": ["HTTPServerTests.TurnsTests", "LatchkeyServerTests.OthersTurnTests"],
    "Sources/LatchkeyServer/Calls/AnswerBudget.swift": ["LatchkeyServerTests.AnswerBudgetTests"],
    "Sources/LatchkeyServer/Calls/HeavyRequests.swift": ["LatchkeyServerTests.HeavyRequestsTests"],
    "Sources/LatchkeyServer/Calls/SharedAnswer.swift": ["LatchkeyServerTests.SharedAnswerTests"],
    "Sources/LatchkeyServer/Calls/UnaryCall.swift": [
        "LatchkeyServerTests.LostAnswerTests", "LatchkeyServerTests.WaitMetricsTests",
        "LatchkeyServerTests.GoneClientTests/aRequestBeforeAHalfCloseIsAnswered"],
    "Sources/LatchkeyServer/LatchkeyServer.swift": ["LatchkeyServerTests.AcceptedSocketTests"],
    "Sources/LatchkeyServer/Logs": ["LatchkeyServerTests.LineWriterTests"],
    "Sources/LatchkeyServer/Metrics": ["LatchkeyServerTests.BoundedLogTests"],
    "Sources/latchkeyd": ["LatchkeyServerTests.ProcessTests/(isNotEndedBy|aSecondSignalEndsItAtOnce)"],
    "Sources/LatchkeyClient/Locking": [
        "LatchkeyClientTests.RenewalStateTests", "LatchkeyClientTests.LeaseStateTests",
        "LatchkeyClientTests.WaitLineStateTests", "LatchkeyClientTests.RenewalTests",
        "LatchkeyClientTests.WaitLineTests"],
    "Sources/LatchkeyClient/Locking/LeaderElectedService.swift": ["LatchkeyClientTests.LeaderTests"],
    "Sources/LatchkeyClient/ClientLog.swift": ["LatchkeyClientTests.ClientLogTests"],
    "Sources/LockContent/StreamSafe.swift": ["LockContentTests.StreamSafeTests"],
    "Sources/LockCore/WaitQueue.swift": ["LockCoreTests.WaitQueueTests", "LatchkeyServerTests.LimitTests"],
    "Sources/Storage/Writing/FrontWatch.swift": ["StorageTests.LivingWaiterTests"],
    "Sources/Storage/Writing/WaitingPeer.swift": ["StorageTests.LivingWaiterTests"],
    "Sources/Storage/Writing/WaitingRoom.swift": ["StorageTests.LivingWaiterTests"],
    "Sources/StorageSQLite": [
        "StorageTests.SQLiteFileTests", "StorageTests.SQLitePlaceTests", "StorageTests.SQLiteCutOffTests"],
}

ARRIVALS = "Sources/HTTP/RoomBudget.swift"
SIGNS = "Sources/HTTP/HTTP2/HTTP2ServerHandler+SignsOfLife.swift"
FRAMES = "Sources/HTTP/HTTP2/HTTP2ServerHandler+Frames.swift"
CLOSED = "Sources/HTTP/HTTP2/ClosedStreams.swift"
ANSWERS = "Sources/LatchkeyServer/Calls/AnswerBudget.swift"
HEAVY = "Sources/LatchkeyServer/Calls/HeavyRequests.swift"
CALL = "Sources/LatchkeyServer/Calls/UnaryCall.swift"
LINES = "Sources/LatchkeyServer/Logs/LineWriter.swift"
DAEMON = "Sources/latchkeyd/Latchkeyd.swift"
HTTP1 = "Sources/HTTPServer/HTTP1/HTTP1Handler.swift"
READER = "Sources/HTTPServer/HTTP1/HTTP1RequestReader.swift"
PACED = "Sources/HTTPServer/PacedReads.swift"
TURNS = "Sources/HTTPServer/Turns.swift"
RENEWALS = "Sources/LatchkeyClient/Locking/RenewalState.swift"
KEEPER = "Sources/LatchkeyClient/Locking/LeaseKeeper.swift"
LEADER = "Sources/LatchkeyClient/Locking/LeaderElectedService.swift"
ACQUISITION = "Sources/LatchkeyClient/Locking/Acquisition.swift"
WAIT_LINES = "Sources/LatchkeyClient/Locking/WaitLines.swift"
FRONT = "Sources/Storage/Writing/FrontWatch.swift"
ROOM = "Sources/Storage/Writing/WaitingRoom.swift"
FILES = "Sources/StorageSQLite/StoreFiles.swift"
MARKS = "Sources/LockContent/StreamSafe.swift"

# File, what is disabled, the code as it is, the code with the mutant. The code stands once in the file.
MUTANTS = [
    # What comes faster than it can be done.
    (PACED, "reads: who waits is not kept waiting", "if kept.readableBytes == 0, turns.mayGoOn(",
     "if kept.readableBytes == 0, MUTANT || turns.mayGoOn("),
    (PACED, "reads: what is kept counts", "guard room.take(more) else {", "guard MUTANT || room.take(more) else {"),
    (PACED, "reads: a turn has a time", "&& turns.now - start < timeMax", "&& (MUTANT || turns.now - start < timeMax)"),
    (PACED, "reads: nothing is passed on unasked", "> 0 && isReadWanted &&", "> 0 && (MUTANT || isReadWanted) &&"),
    (PACED, "reads: the end comes last", "== .inputClosed, kept.readableBytes > 0 {", "== .inputClosed, !MUTANT, kept.readableBytes > 0 {"),
    (TURNS, "turns: a pass over the sockets has a time", "return now - passStart < Self.passTimeMax",
     "return MUTANT || now - passStart < Self.passTimeMax"),
    (TURNS, "turns: who has used more waits for longer", "      place.start = account.end\n",
     "      if !MUTANT { place.start = account.end }\n"),
    (TURNS, "turns: nobody waits for ever", "share = max(share, place.start) + used",
     "share = MUTANT ? share : max(share, place.start) + used"),
    (TURNS, "turns: little goes on once", "account.end <= share else", "MUTANT || account.end <= share else"),
    (TURNS, "turns: the sockets are looked at now and then", "while now - start < Self.timeMax,", "while MUTANT || now - start < Self.timeMax,"),
    # What many requests and answers may take together.
    (ARRIVALS, "arrivals: the last of the room is for the modest", "held + count > Self.modestBytes ?",
     "!MUTANT && held + count > Self.modestBytes ?"),
    (ARRIVALS, "arrivals: what is refused is not taken", "      giveBack(count)\n      return false",
     "      if !MUTANT { giveBack(count) }\n      return false"),
    (ARRIVALS, "arrivals: a connection has a part of what is free", "max(0, free) / Self.partsOfFree",
     "max(0, free) / (MUTANT ? 1 : Self.partsOfFree)"),
    (ANSWERS, "answers: one connection leaves most to others",
     "guard !isOfConnection || used <=", "guard MUTANT || !isOfConnection || used <="),
    (ANSWERS, "answers: what a connection may not have is given back to the server",
     "      giveBack(count)\n      return false", "      if !MUTANT { giveBack(count) }\n      return false"),
    (ANSWERS, "answers: what the server has no room for does not count",
     "      self.used.subtract(count, ordering: .relaxed)\n", "      if !MUTANT { self.used.subtract(count, ordering: .relaxed) }\n"),
    (ANSWERS, "answers: what was not needed is not given back twice", "taken.subtract(surplus, ordering: .relaxed)\n",
     "if !MUTANT { taken.subtract(surplus, ordering: .relaxed) }\n"),
    (HEAVY, "heavy requests: connections take turns", "line.due = (line.due.cost + next.cost, order)",
     "if !MUTANT { line.due = (line.due.cost + next.cost, order) }"),
    (HEAVY, "heavy requests: what costs little comes first", "due: (costSoFar + cost, order)",
     "due: (costSoFar + (MUTANT ? 1 : cost), order)"),
    (HEAVY, "heavy requests: those that would come last make room", "guard known == nil, dropLast(",
     "guard !MUTANT, known == nil, dropLast("),
    (HEAVY, "heavy requests: those that cost much are read as well", "costSoFar += request.cost / (queue.count + 1)",
     "if !MUTANT { costSoFar += request.cost / (queue.count + 1) }"),
    (HEAVY, "heavy requests: those that were read make room", "line.room.giveBack(request.bytes)",
     "if !MUTANT { line.room.giveBack(request.bytes) }"),
    (HEAVY, "heavy requests: what nobody waits for is not read", "if request.exchange.isOpen { return request.start() }",
     "if MUTANT || request.exchange.isOpen { return request.start() }"),
    ("Sources/LatchkeyServer/Calls/SharedAnswer.swift", "metrics are written once for all who ask meanwhile",
     "isPausing = !readers.isEmpty\n    guard isPausing", "isPausing = !readers.isEmpty && !MUTANT\n    guard !readers.isEmpty"),
    ("Sources/HTTP/HTTP2/HTTP2ServerHandler.swift", "open streams: their room is bounded",
     "answering.take(HTTP2ServerHandler.streamOverheadBytes)", "answering.take(MUTANT ? 0 : HTTP2ServerHandler.streamOverheadBytes)"),
    ("Sources/HTTP/HTTP2/HTTP2ServerHandler+Arriving.swift", "open streams: who goes on without room is disconnected",
     "if streamsWithoutRoom?.take(at: receivedAt) == false {", "if !MUTANT, streamsWithoutRoom?.take(at: receivedAt) == false {"),
    (ARRIVALS, "answers: a long one has to find room", "if count > RoomBudget.smallAnswerBytesMax {",
     "if count > RoomBudget.smallAnswerBytesMax, !MUTANT {"),
    ("Sources/HTTP/HTTP2/HTTP2ServerHandler+Arriving.swift", "answers: the newest make room for others",
     "if answering.isAboveItsPart, stream", "if answering.isAboveItsPart, !MUTANT, stream"),

    # HTTP/1.1 takes one request at a time, within its bounds.
    (READER, "HTTP/1.1: lines count until the request ends", "    lineBytes += count\n",
     "    if !MUTANT { lineBytes += count }\n"),
    (READER, "HTTP/1.1: a body in chunks has a bound", "guard body.count + bytes.readableBytes <=",
     "guard MUTANT || body.count + bytes.readableBytes <="),
    (READER, "HTTP/1.1: the decoder sees one request at a time", "if isLineEmpty { return", "if isLineEmpty, !MUTANT { return"),
    (HTTP1, "HTTP/1.1: what is ahead has a bound", "isRoom, ahead <= limits.aheadBytesMax", "isRoom, MUTANT || ahead <= limits.aheadBytesMax"),
    (HTTP1, "HTTP/1.1: who waits learns that its peer has ended its side",
     "if case .answering = state { watcher?.inputEnded() }", "if !MUTANT, case .answering = state { watcher?.inputEnded() }"),

    # What streams that ended mean, and peers that are gone.
    (FRAMES, "HTTP/2: waits may be taken back at once", "stream.isWaiting || receivedAt", "!MUTANT && stream.isWaiting || receivedAt"),
    (FRAMES, "HTTP/2: waits that are taken back have a bound", "longWaitsEnded?.take(at: receivedAt) ?? true",
     "MUTANT || longWaitsEnded?.take(at: receivedAt) ?? true"),
    (FRAMES, "HTTP/2: who waits learns that its peer has ended its side", "        stream.inputEnded()\n",
     "        if !MUTANT { stream.inputEnded() }\n"),
    ("Sources/HTTP/HTTP2/FrameMeter.swift", "HTTP/2: refused streams count apart", "guard code == ErrorCode.refusedStream",
     "guard !MUTANT, code == ErrorCode.refusedStream"),
    (CLOSED, "closed streams: a reset is remembered once", "guard !resets.contains", "guard MUTANT || !resets.contains"),
    (CLOSED, "closed streams: what is too long ago may have crossed", "stream <= forgottenMax ? .forgotten",
     "stream <= forgottenMax && !MUTANT ? .forgotten"),
    (SIGNS, "a sign of life is younger than its question", "signsOfLife.next.append(completion)",
     "MUTANT ? signsOfLife.asked.append(completion) : signsOfLife.next.append(completion)"),
    (SIGNS, "an answer to another PING is no sign of life", "guard opaque == Self.signOfLifePing,",
     "guard MUTANT || opaque == Self.signOfLifePing,"),
    ("Sources/HTTP/TCPKeepAlive.swift", "the system looks whether a peer is there", "try socket.setOption(.socketOption(.so_keepalive), value: 1)",
     "if !MUTANT { try socket.setOption(.socketOption(.so_keepalive), value: 1) }"),
    ("Sources/LatchkeyServer/LatchkeyServer.swift", "the system looks whether clients are there", "try TCPKeepAlive.set(on: channel)",
     "if !MUTANT { try TCPKeepAlive.set(on: channel) }"),

    # Nobody is granted anything that would not reach it.
    (FRONT, "waiters: who may be suspended is asked first", "return now - heard < limits.lifeCountsNanoseconds",
     "return MUTANT || now - heard < limits.lifeCountsNanoseconds"),
    (FRONT, "waiters: a server that stood still does not take silence for death", "now - max(asked, latestStall)",
     "now - (MUTANT ? asked : max(asked, latestStall))"),
    (ROOM, "waiters: a wait that ends in silence is granted nothing", "front.verdict(on: entry.waiter.peer, at: now) == .living",
     "(MUTANT || front.verdict(on: entry.waiter.peer, at: now) == .living)"),
    ("Sources/Storage/Writing/WaitingPeer.swift", "waiters: a question that is lost is asked again", "askedAt = nil }",
     "if !MUTANT { askedAt = nil } }"),
    ("Sources/LockCore/WaitQueue.swift", "waiters: who shows life has its place again",
     "    for key in keys { lines[key]!.ids.sort() }\n    return keys", "    for key in keys where !MUTANT { lines[key]!.ids.sort() }\n    return keys"),
    (CALL, "a grant that did not reach its peer is taken back", "if let told, !exchange.isAnswerSent {", "if let told, !exchange.isAnswerSent, !MUTANT {"),
    (CALL, "who ends its side is answered unless it waits", "guard mayWait, !isAnswered else { return }\n    hasEnded",
     "guard MUTANT || mayWait, !isAnswered else { return }\n    hasEnded"),
    (CALL, "waits have a histogram of their own", "metrics.answered(nil, nanoseconds: loop.clock() - start, mayWait: mayWait)",
     "metrics.answered(nil, nanoseconds: loop.clock() - start, mayWait: mayWait && !MUTANT)"),

    # The client's leases and lines.
    (RENEWALS, "renewals: the next one counts from when the last was sent", "obsolete + [.plan(plan.next(after: sentAt",
     "obsolete + [.plan(plan.next(after: MUTANT ? now : sentAt"),
    (RENEWALS, "renewals: an attempt under way is not taken back", "    isOverdue = true\n    return due(at: now)",
     "    isOverdue = true\n    if MUTANT { inFlight.removeLast() }\n    return (MUTANT ? [.cancel(attempt)] : []) + due(at: now)"),
    (RENEWALS, "renewals: overtaken ones are listened to", "overtaken += inFlight.filter { $0 < attempt }",
     "if !MUTANT { overtaken += inFlight.filter { $0 < attempt } }"),
    (KEEPER, "renewals: late answers count from when they were asked for", "accepted(attempt, sentAt: answer.sentAt,",
     "accepted(attempt, sentAt: MUTANT ? time.now : answer.sentAt,"),
    (KEEPER, "renewals: none goes on after the end", "    perform(state.end())\n", "    if !MUTANT { perform(state.end()) }\n"),
    (LEADER, "leader: a child that stops by an error has stopped", "guard request.isMade || Task",
     "guard !MUTANT && request.isMade || Task"),
    (ACQUISITION, "a grant after a wait is renewed at once", "time.now - sentAt > lease / ClientLimits.renewAfterDivisor",
     "!MUTANT, time.now - sentAt > lease / ClientLimits.renewAfterDivisor"),
    (ACQUISITION, "a grant that could not be renewed is given back", "throw AttemptFailure(error: error.error, mayHaveHappened: true)",
     "throw AttemptFailure(error: error.error, mayHaveHappened: !MUTANT)"),
    (ACQUISITION, "lines: one caller asks for a key", "guard !lines.isFirst(ticket) else", "guard !MUTANT, !lines.isFirst(ticket) else"),
    (ACQUISITION, "lines: places at the server go round", "!canWait || lines.isCrowded {", "!canWait || (lines.isCrowded && !MUTANT) {"),
    (WAIT_LINES, "lines: callers stand in the order of arrival", "lines[key, default: Line()].tickets.append(latest)",
     "lines[key, default: Line()].tickets.insert(latest, at: MUTANT ? lines[key]?.tickets.startIndex ?? 0 : lines[key]?.tickets.endIndex ?? 0)"),
    (WAIT_LINES, "lines: those who left are skipped", "tickets.first, keys[first] == nil {", "tickets.first, keys[first] == nil, !MUTANT {"),

    (HEAVY, "heavy: who is dropped is told later", "    if dropped.count == 1 {\n", "    if MUTANT { tellDropped() } else if dropped.count == 1 {\n"),
    (HEAVY, "heavy: small requests make room too", "freeBytes: 0,", "freeBytes: MUTANT ? 4_096 : 0,"),
    (HEAVY, "heavy: gzip costs what it says", "min(inflated, bodyBytesMax))", "min(MUTANT ? .max : inflated, bodyBytesMax))"),

    # Two servers never have different files.
    (FILES, "files: one name for the database", "guard status.names > 1 else", "guard !MUTANT, status.names > 1 else"),
    (FILES, "files: a database that was replaced is not served", "database.identity == self.database else",
     "MUTANT || database.identity == self.database else"),
    (FILES, "files: shared memory that was replaced is noticed", "guard try FileStatus.find(sharedMemoryPath)?.identity == sharedMemory else",
     "guard try FileStatus.find(sharedMemoryPath)?.identity == sharedMemory || MUTANT else"),
    (FILES, "files: a database that is gone is not made anew", "guard state.withLock({ $0.database }) == nil else",
     "guard MUTANT || state.withLock({ $0.database }) == nil else"),

    # Text and logs that others can cause.
    (MARKS, "marks: the bound is thirty", "guard count <= nonStartersMax else", "guard count <= nonStartersMax + (MUTANT ? 1 : 0) else"),
    (MARKS, "marks: every run is met", "        start = position + 1\n", "        start = position + (MUTANT ? 2 : 1)\n"),
    (LINES, "logs: lines that nobody reads are dropped", "guard queue.count + notice.count + bytes.count <= queueBytesMax",
     "guard MUTANT || queue.count + notice.count + bytes.count <= queueBytesMax"),
    (LINES, "logs: how many were dropped is said once", "      untold = 0\n", "      if !MUTANT { untold = 0 }\n"),
    (LINES, "logs: a pipe that is full for now is waited for", "} else if errno == EAGAIN {", "} else if errno == EAGAIN, !MUTANT {"),
    ("Sources/LatchkeyServer/Metrics/BoundedLog.swift", "logs: what was left out is said once", "defer { state.leftOut = 0 }",
     "defer { if !MUTANT { state.leftOut = 0 } }"),
    ("Sources/LatchkeyClient/ClientLog.swift", "logs: the client's lines have a bound", "guard state.waiting < ClientLimits.logLinesMax else",
     "guard MUTANT || state.waiting < ClientLimits.logLinesMax else"),

    # Signals.
    (DAEMON, "signals: SIGHUP is ignored", "if number == SIGHUP {", "if number == SIGHUP, !MUTANT {"),
    (DAEMON, "signals: the first one has it finish what is in hand", "} else if isEnding.exchange(true, ordering: .relaxed) {",
     "} else if isEnding.exchange(true, ordering: .relaxed) || MUTANT {"),
    (DAEMON, "signals: the second one is the reason of the end", "_exit(128 + number)", "_exit(MUTANT ? 0 : 128 + number)"),
]
