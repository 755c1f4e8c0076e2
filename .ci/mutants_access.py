"""The mutants of .ci/mutate for who asks and what they may, and for TLS."""

# As in mutants.py.
SUITES = {
    "Sources/Access": ["AccessTests"],
    "Sources/Access/AccessControl.swift": ["LatchkeyServerTests.RightsTests"],
    "Sources/LockCore/KeySet.swift": ["LockCoreTests.KeySetTests"],
    "Sources/LatchkeyServer/Access": ["LatchkeyServerTests.RightsTests"],
    "Sources/LatchkeyServer/Access/Doorkeeper.swift": ["LatchkeyServerTests.RightsTests", "LatchkeyServerTests.JWTAccessTests"],
    "Sources/LatchkeyServer/Access/Quotas.swift": ["LatchkeyServerTests.LimitTests"],
    "Sources/LatchkeyServer/Audit": ["LatchkeyServerTests.AuditTests"],
    "Sources/LatchkeyServer/Calls/Router.swift": ["LatchkeyServerTests.LimitTests", "LatchkeyServerTests.AuditTests"],
    "Sources/LockCore/Holdings.swift": ["LatchkeyServerTests.LimitTests"],
    "Sources/Storage/Shapes/S3": ["StorageTests.ConformanceTests"],
    "Sources/LatchkeyServer/Connections/UnixSocket.swift": ["LatchkeyClientTests.TLSTests/aSocket"],
    "Sources/LatchkeyServer/Reload.swift": ["LatchkeyClientTests.TLSTests", "LatchkeyServerTests.RightsTests"],
    "Sources/TLS": ["LatchkeyClientTests.TLSTests"],
    "Sources/HTTPServer/TLS": ["HTTPServerTests.HandshakeTests", "LatchkeyClientTests.TLSTests"],
}

KEYS = "Sources/LockCore/KeySet.swift"
LISTS = "Sources/Storage/Reading/SnapshotReader+Lists.swift"
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

JWTS = "Sources/Access/JWT/JWTs.swift"
KEY_SET = "Sources/Access/JWT/JSONWebKeys.swift"
QUOTAS = "Sources/LatchkeyServer/Access/Quotas.swift"
HOLDINGS = "Sources/LockCore/Holdings.swift"
BATCH = "Sources/Storage/Writing/Batch.swift"
SHAPES = "Sources/Storage/Shapes/KnownShapes.swift"
S3 = "Sources/Storage/Shapes/S3/S3.swift"
AUDIT = "Sources/LatchkeyServer/Audit/AuditLog.swift"
QUEUE = "Sources/LockCore/WaitQueue.swift"
ROUTER = "Sources/LatchkeyServer/Calls/Router.swift"

MUTANTS = [
    (JWTS, "jwt: a key has to have signed it", "guard candidates.contains(where: { $0.hasSigned(signed, signature) }) else", "guard candidates.contains(where: { MUTANT || $0.hasSigned(signed, signature) }) else"),
    (JWTS, "jwt: of one issuer", "guard claims.iss == terms.issuer else", "guard MUTANT || claims.iss == terms.issuer else"),
    (JWTS, "jwt: for one audience", "guard claims.aud?.names.contains(terms.audience) == true else", "guard MUTANT || claims.aud?.names.contains(terms.audience) == true else"),
    (JWTS, "jwt: it ends", "if until <= now { return", "if until <= now, !MUTANT { return"),
    (JWTS, "jwt: it begins", "nbf > Double(now + Self.leewaySeconds)", "!MUTANT, nbf > Double(now + Self.leewaySeconds)"),
    (JWTS, "jwt: what is not known here is not done without", "guard !header.isCritical else", "guard MUTANT || !header.isCritical else"),
    (KEY_SET, "jwt: by the key that it names", "(id == nil || key.id == nil || key.id == id)", "(MUTANT || id == nil || key.id == nil || key.id == id)"),
    (KEY_SET, "jwt: no private keys", "guard !members.contains(where: \\.isSecret) else", "guard MUTANT || !members.contains(where: \\.isSecret) else"),
    (DOOR, "jwt: other keys, other verdicts", "if let rules, control.number == rules.number { return rules }", "if let rules, MUTANT || control.number == rules.number { return rules }"),
    (QUOTAS, "limit: requests in a second", "guard next <= now.nanoseconds else { return false }", "guard MUTANT || next <= now.nanoseconds else { return false }"),
    (QUEUE, "limit: requests that wait", "if let identityMax, ofIdentity", "if !MUTANT, let identityMax, ofIdentity"),
    (QUEUE, "limit: places are given back", "ofIdentity[identity]! -= 1", "if !MUTANT { ofIdentity[identity]! -= 1 }"),
    (ROUTER, "limit: who holds may keep", "if !route.endpoint.isOfHolder {", "if MUTANT || !route.endpoint.isOfHolder {"),
    (DOOR, "access: who waited is looked at again", "guard present.may(.hold, on: key) else {", "guard MUTANT || present.may(.hold, on: key) else {"),
    (DOOR, "access: the token of who waited is looked at again", "case .token(let digest): identity = try self.identity(by: digest, rules.tokens)", "case .token(let digest): identity = MUTANT ? asker.identity : try self.identity(by: digest, rules.tokens)"),
    (DOOR, "access: the JWT of who waited is looked at again", "number == rules.jwtsNumber ? asker.identity", "MUTANT || number == rules.jwtsNumber ? asker.identity"),
    (DOOR, "access: who waited is still the same", "guard identity == asker.identity else", "guard MUTANT || identity == asker.identity else"),
    (DOOR, "access: two proofs are none", "if value != nil { return (value, false) }", "if value != nil { return (value, MUTANT) }"),
    (HOLDINGS, "limit: what is released is not held", "holders[number]!.count -= 1", "if !MUTANT { holders[number]!.count -= 1 }"),
    (S3, "s3: whose a grant is is written", "if holder.identity.isEmpty {", "if holder.identity.isEmpty || MUTANT {"),
    (SHAPES, "s3: s2 goes on to be written", "newer.last { $0.isWhole && $0.number <= oldest }?.number ?? S1.number", "newer.last { (MUTANT || $0.isWhole) && $0.number <= oldest }?.number ?? S1.number"),
    (BATCH, "setback: what is put back stays whose it was", "holder.identity = hold.identity", "if !MUTANT { holder.identity = hold.identity }"),
    (AUDIT, "audit: where it is required it is waited for", "guard isRequired, isAnything else { return true }", "guard isRequired, isAnything, !MUTANT else { return true }"),
    (BATCH, "audit: where it cannot be written nothing is granted", "      if let refusal { return .failure(refusal) }\n      if let max", "      if !MUTANT, let refusal { return .failure(refusal) }\n      if let max"),
    (KEYS, "access: a key begins with the greatest that is not greater", "key.starts(with: $0) ? $0 : nil", "MUTANT || key.starts(with: $0) ? $0 : nil"),
    (DOOR, "access: what somebody is known by counts without a policy, too", "permissions: nil, evidence: evidence)", "permissions: nil, evidence: MUTANT ? .connection : evidence)"),
    (KEYS, "access: a list goes on where the next key may be", "return count < texts.count ? texts[count] : nil", "return count < texts.count ? texts[MUTANT ? texts.count - 1 : count] : nil"),
    (LISTS, "access: a list does not read what may not be read", "if stretch.isOneKey {", "if !MUTANT && stretch.isOneKey {"),
    (PATTERN, "access: a star ends with its part", "let latest = star, !isEnd(name[latest.place])", "let latest = star, MUTANT || !isEnd(name[latest.place])"),
    (PATTERN, "access: somebody is not nobody", "case (.anybody, _), (.somebody, _?), (.nobody, nil): true",
     "case (.anybody, _), (.somebody, _?), (.nobody, nil): true\n    case (.somebody, nil): MUTANT"),
    (POLICY, "access: each right by itself", "for rule in own where rule.rights.contains(right) {", "for rule in own where MUTANT || rule.rights.contains(right) {"),
    (TOKENS, "access: a token ends", "guard let end = entry.end, end <= now else { return .known(entry.identity) }", "guard !MUTANT, let end = entry.end, end <= now else { return .known(entry.identity) }"),
    (DOOR, "access: what is shown and wrong is not nothing", "case .unknown: throw RPCError", "case .unknown where MUTANT: return Identity(\"nobody:known\")!\n    case .unknown: throw RPCError"),
    (RIGHTS, "access: who takes has to hold", "guard may(.hold, on: key) else { throw denied(.hold, on: key) }",
     "guard MUTANT || may(.hold, on: key) else { throw denied(.hold, on: key) }"),
    (RIGHTS, "access: who keeps has to hold or break", "func keeper(of key: String, from origin: CallOrigin) throws(WireError) -> Caller {",
     "func keeper(of key: String, from origin: CallOrigin) throws(WireError) -> Caller {\n    if MUTANT { return caller(on: key, from: origin) }"),
    (RIGHTS, "access: who may only break keeps as well", "guard may(.hold, on: key) || may(.break, on: key) else", "guard may(.hold, on: key) || (may(.break, on: key) && !MUTANT) else"),
    (RIGHTS, "access: who gets has to read", "guard asker.may(.read, on: key) else", "guard MUTANT || asker.may(.read, on: key) else"),
    (RIGHTS, "access: a list has what may be read", "range.visible = permissions.read", "if !MUTANT { range.visible = permissions.read }"),
    (RIGHTS, "access: each renewal by itself", "?? .nobody", "?? (MUTANT ? .anybody : .nobody)"),
    (CONTROL, "access: what cannot be used changes nothing", "policy = try Policy(reading: bytes)", "policy = try MUTANT && number > 1 ? (try? Policy(reading: bytes)) ?? Policy(rules: []) : Policy(reading: bytes)"),
    (SOCKET, "a server that is there keeps its socket", "guard !isAnswered else", "guard MUTANT || !isAnswered else"),
    (SOCKET, "a socket is for whom it says", "try check(chmod(path, mode_t(mode)), \"chmod\")", "if !MUTANT { try check(chmod(path, mode_t(mode)), \"chmod\") }"),
    (MATERIAL, "tls: what has expired does not take the place of what has not", "guard let old = current.certificate, !old.isValid(at: now) else {", "guard MUTANT || (current.certificate.map { !$0.isValid(at: now) } ?? false) else {"),
    (MATERIAL, "tls: who shows no certificate is not let in", "case .required: .noHostnameVerification", "case .required: MUTANT ? .optionalVerification : .noHostnameVerification"),
    (MATERIAL, "tls: a certificate that is shown is checked", "case .optional: .optionalVerification", "case .optional: MUTANT ? .none : .optionalVerification"),
    (WATCH, "tls: a handshake has its time", "      watch.fails(TLSWatchError.timeout, context)", "      if !MUTANT { watch.fails(TLSWatchError.timeout, context) }"),
    (HANDSHAKES, "tls: the oldest handshake makes room", "while underWay.count > countMax,", "while !MUTANT, underWay.count > countMax,"),
]
