import FoundationEssentials
import JWTKit

/// The public keys of whoever issues JWTs: a JWK set (RFC 7517), as issuers publish them.
struct JSONWebKeys: Sendable {
  static let bytesMax = 1 << 20
  /// A JWT that does not say by which key it is signed is tried with all of them.
  static let keysMax = 64

  struct Key: Sendable {
    /// Nil where it has none.
    let id: String?
    /// As JWTs call it, such as "ES256".
    let algorithm: String
    fileprivate let verifier: any JWTAlgorithm

    func hasSigned(_ text: some DataProtocol, _ signature: some DataProtocol) -> Bool {
      // What is no signature at all is thrown for.
      (try? verifier.verify(signature, signs: text)) ?? false
    }
  }

  private let keys: [Key]

  var count: Int { keys.count }

  /// Those that may have signed a JWT.
  ///
  /// - Parameter id: As the JWT calls its key; nil where it does not say.
  func keys(id: String?, algorithm: String) -> [Key] {
    keys.filter { key in
      key.algorithm == algorithm && (id == nil || key.id == nil || key.id == id)
    }
  }

  // MARK: - The file

  /// Keys of a kind that is not known here are left out, as the RFC has it, and so are those that encrypt.
  ///
  /// - Throws: ``KeySetError``
  init(reading bytes: [UInt8]) throws(KeySetError) {
    let members: [Member]
    do {
      members = try JSONDecoder().decode(KeySet.self, from: Data(bytes)).keys
    } catch {
      throw KeySetError(reason: "this is no JWK set: a JSON object with a list \"keys\"")
    }
    guard members.count <= Self.keysMax else {
      throw KeySetError(reason: "there are more than \(Self.keysMax) keys")
    }
    guard !members.contains(where: \.isSecret) else {
      throw KeySetError(reason: "there is a private key; only public ones belong here")
    }
    keys = Self.keys(of: members.flatMap(\.forEachAlgorithm))
    guard !keys.isEmpty else {
      throw KeySetError(
        reason:
          "there is no key that can be used: RSA of 2,048 bits or more, EC on P-256, P-384 or P-521, or Ed25519"
      )
    }
  }

  private struct KeySet: Decodable { let keys: [Member] }

  /// A key of the set, whatever it is.
  private struct Member: Decodable {
    private enum Name: String, CodingKey { case use, d, k }

    /// Nil where it is of a kind that is not known here, or encrypts.
    private let key: JWK?
    let isSecret: Bool

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: Name.self)
      isSecret = members.contains(.d) || members.contains(.k)
      let use = try? members.decodeIfPresent(String.self, forKey: .use)
      key = use == nil || use == "sig" ? try? JWK(from: decoder) : nil
    }

    /// One that does not say its algorithm is one for each that it can be used with.
    var forEachAlgorithm: [JWK] {
      guard let key else { return [] }
      let algorithms: [JWK.Algorithm] =
        switch (key.algorithm, key.keyType, key.curve?.rawValue) {
        case (let algorithm?, _, _): [algorithm]
        case (nil, .rsa, _): [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512]
        case (nil, _, "P-256"): [.es256]
        case (nil, _, "P-384"): [.es384]
        case (nil, _, "P-521"): [.es512]
        case (nil, _, "Ed25519"): [.eddsa]
        default: []
        }
      return algorithms.map { algorithm in
        var key = key
        key.algorithm = algorithm
        return key
      }
    }
  }

  /// The library makes verifiers in an actor, which works on this thread meanwhile. What it cannot make any of is left
  /// out.
  private static func keys(of all: [JWK]) -> [Key] {
    ThisThread.run {
      var keys: [Key] = []
      for var key in all {
        let id = key.keyIdentifier?.string
        // It asks for an id, and is given one key at a time.
        key.keyIdentifier = JWKIdentifier(string: "")
        let verifier = try? await JWTKeyCollection().add(jwk: key).getKey()
        guard let verifier, let algorithm = key.algorithm?.rawValue else { continue }
        keys.append(Key(id: id, algorithm: algorithm, verifier: verifier))
      }
      return keys
    }
  }
}

/// What is wrong with a file of keys.
struct KeySetError: Error, CustomStringConvertible {
  let reason: String

  var description: String { reason }
}
