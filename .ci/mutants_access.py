"""The mutants of .ci/mutate for who asks and what they may, and for TLS."""

# As in mutants.py.
SUITES = {
    "Sources/Access": ["AccessTests"],
    "Sources/Access/AccessControl.swift": ["LatchkeyServerTests.RightsTests"],
    "Sources/LockCore/KeySet.swift": ["LockCoreTests.KeySetTests"],
    "Sources/LatchkeyServer/Access": ["LatchkeyServerTests.RightsTests"],
    "Sources/LatchkeyServer/Connections/UnixSocket.swift": ["LatchkeyClientTests.TLSTests/aSocket"],
    "Sources/LatchkeyServer/Reload.swift": ["LatchkeyClientTests.TLSTests", "LatchkeyServerTests.RightsTests"],
    "Sources/TLS": ["LatchkeyClientTests.TLSTests"],
    "Sources/HTTPServer/TLS": ["HTTPServerTests.HandshakeTests", "LatchkeyClientTests.TLSTests"],
}

KEYS = "Sources/LockCore/KeySet.swift"
PATTERN = "Sources/Access/IdentityPattern.swift"
POLICY = "Sources/Access/Policy.swift"
TOKENS = "Sources/Access/Tokens.swift"
CONTROL = "Sources/Access/AccessControl.swift"
DOOR = "Sources/LatchkeyServer/Access/Doorkeeper.swift"
RIGHTS = "Sources/LatchkeyServer/Access/Locks+Rights.swift"
SOCKET = "Sources/LatchkeyServer/Connections/UnixSocket.swift"
MATERIAL = "Sources/TLS/TLSMaterial.swift"
WATCH = "Sources/HTTPServer/TLS/TLSWatch.swift"
HANDSHAKES = "Sources/HTTPServer/TLS/Handshakes.swift"

MUTANTS = [
    (KEYS, "access: a key begins with the greatest that is not greater", "return low > 0 && key.starts(with: prefixes[low - 1])",
     "return low > 0 && (MUTANT || key.starts(with: prefixes[low - 1]))"),
    (PATTERN, "access: a star ends with its part", "let latest = star, !isEnd(name[latest.place])", "let latest = star, MUTANT || !isEnd(name[latest.place])"),
    (PATTERN, "access: somebody is not nobody", "case (.anybody, _), (.somebody, _?), (.nobody, nil): true",
     "case (.anybody, _), (.somebody, _?), (.nobody, nil): true\n    case (.somebody, nil): MUTANT"),
    (POLICY, "access: each right by itself", "for rule in own where rule.rights.contains(right) {", "for rule in own where MUTANT || rule.rights.contains(right) {"),
    (TOKENS, "access: a token ends", "if let end = entry.end, end <= now { return .expired }", "if !MUTANT, let end = entry.end, end <= now { return .expired }"),
    (DOOR, "access: what is shown and wrong is not nothing", "case .unknown: throw RPCError", "case .unknown where MUTANT: return nil\n    case .unknown: throw RPCError"),
    (RIGHTS, "access: who takes has to hold", "guard may(.hold, on: key) else { throw denied(.hold, on: key) }",
     "guard MUTANT || may(.hold, on: key) else { throw denied(.hold, on: key) }"),
    (RIGHTS, "access: who keeps has to hold or break", "func keeper(of key: String) throws(WireError) -> Caller {",
     "func keeper(of key: String) throws(WireError) -> Caller {\n    if MUTANT { return caller(on: key) }"),
    (RIGHTS, "access: who may only break keeps as well", "guard may(.hold, on: key) || may(.break, on: key) else", "guard may(.hold, on: key) || (may(.break, on: key) && !MUTANT) else"),
    (RIGHTS, "access: who gets has to read", "guard asker.may(.read, on: key) else", "guard MUTANT || asker.may(.read, on: key) else"),
    (RIGHTS, "access: a list has what may be read", "range.visible = permissions.read", "if !MUTANT { range.visible = permissions.read }"),
    (RIGHTS, "access: each renewal by itself", "?? .nobody", "?? (MUTANT ? .anybody : .nobody)"),
    (CONTROL, "access: what cannot be used changes nothing", "let new = try Self.make(contents, paths, number: current.number + 1)",
     "let new = try MUTANT ? (try? Self.make(contents, paths, number: current.number + 1)) ?? Current(policy: Policy(rules: []), tokens: nil, number: 0) : Self.make(contents, paths, number: current.number + 1)"),
    (SOCKET, "a server that is there keeps its socket", "guard !isAnswered else", "guard MUTANT || !isAnswered else"),
    (SOCKET, "a socket is for whom it says", "try check(chmod(path, mode_t(mode)), \"chmod\")", "if !MUTANT { try check(chmod(path, mode_t(mode)), \"chmod\") }"),
    (MATERIAL, "tls: what has expired does not take the place of what has not", "guard let old, old.notAfter < now else {", "guard MUTANT || (old.map { $0.notAfter < now } ?? false) else {"),
    (MATERIAL, "tls: who shows no certificate is not let in", "case .required: .noHostnameVerification", "case .required: MUTANT ? .optionalVerification : .noHostnameVerification"),
    (MATERIAL, "tls: a certificate that is shown is checked", "case .optional: .optionalVerification", "case .optional: MUTANT ? .none : .optionalVerification"),
    (WATCH, "tls: a handshake has its time", "      watch.fails(TLSWatchError.timeout, context)", "      if !MUTANT { watch.fails(TLSWatchError.timeout, context) }"),
    (HANDSHAKES, "tls: the oldest handshake makes room", "while underWay.count > countMax,", "while !MUTANT, underWay.count > countMax,"),
]
