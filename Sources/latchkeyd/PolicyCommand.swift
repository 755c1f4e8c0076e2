import Access
import ArgumentParser
import Files

/// `latchkeyd policy`
struct PolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy", abstract: "Looks at who may do what.",
    discussion: """
      A policy is a file of rules, a line each: who, which rights, on which keys.

        # who                                rights           keys
        spiffe://example.org/ns/*/scheduler  read,hold        jobs/*
        token:deployer                       read,hold,break  migrations/*
        user:root                            operate
        anybody                              read             public/motd

      Who is a name as a proof gives it: a certificate's URI, dns:NAME or cn:NAME of a certificate without one, \
      token:NAME, jwt:SUBJECT, user:NAME of a socket of this machine. "*" stands for some of what is between two of "/" and ":". \
      anybody, somebody (who has proved a name) and nobody (who has not) are words.

      read is to see who holds a key; hold to take it, keep it and give back what the same name has taken; break to \
      keep or give back what another name has taken; operate, which is not bound to keys, to see /status, /metrics and /events. A key that ends with "*" \
      stands for all that begin so. One with blanks stands in \
      quotation marks, and the "*" behind them: "my jobs/"*.

        limit token:ci/*  held=100,waiting=20,requests=50

      is how much each name like token:ci/7 may use: keys that it holds, in the whole store; its requests that wait, and \
      its requests in a second, at each server. Of each kind the first line counts that is about a name.
      """, subcommands: [Check.self, Explain.self])

  struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tells whether a policy can be used, and the first line that cannot.",
      discussion: "Exit codes: 0 where it can, 1 where it cannot.")

    @Argument(help: ArgumentHelp("The policy.", valueName: "path"))
    var file: String

    func run() throws {
      let policy = PolicyCommand.read(file)
      print("\(file): \(policy.rules.count) rule(s), \(policy.limits.count) limit(s)")
    }
  }

  struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tells what somebody may do with a key, and which rule says so.",
      discussion: "Exit codes: 0 where something is allowed, 1 where nothing is.")

    @Argument(help: ArgumentHelp("The policy.", valueName: "path"))
    var file: String

    @Option(
      help: ArgumentHelp(
        "Who, such as token:deployer; without it, nobody, who has proved no name.",
        valueName: "name"))
    var peer: String?

    @Option(
      help: ArgumentHelp("The key; without it, only what is not bound to keys.", valueName: "key"))
    var key: String?

    func run() throws {
      let policy = PolicyCommand.read(file)
      var identity: Identity?
      if let peer {
        guard let named = Identity(peer) else {
          Latchkeyd.fail(
            "--peer has 1 to \(Identity.bytesMax) visible bytes and no blank: no other name is ever known",
            code: .validationFailure)
        }
        let pattern = IdentityPattern(peer)
        if let fault = pattern.fault {
          Latchkeyd.fail("--peer: \(fault)", code: .validationFailure)
        }
        guard case .name = pattern, !peer.contains("*") else {
          Latchkeyd.fail(
            "--peer is somebody's name, such as token:deployer, not who a rule is about; without it nobody is meant",
            code: .validationFailure)
        }
        identity = named
      }
      var isAnything = false
      for right in Right.allCases where key != nil || right == .operate {
        guard let rule = policy.rule(giving: right, on: key ?? "", to: identity) else {
          print("\(right): no, no rule gives it")
          continue
        }
        isAnything = true
        print("\(right): yes, by line \(rule.line): \(rule.text)")
      }
      for line in policy.limitLines(of: identity) {
        print("limit: by line \(line.line): \(line.text)")
      }
      if !isAnything { throw ExitCode.failure }
    }
  }

  fileprivate static func read(_ path: String) -> Policy {
    do {
      guard let policy = try AccessControl(AccessControl.Sources(policy: path)).current.policy
      else {
        preconditionFailure("a policy that was named was not read")
      }
      return policy
    } catch {
      Latchkeyd.fail(error.description, code: .failure)
    }
  }
}
