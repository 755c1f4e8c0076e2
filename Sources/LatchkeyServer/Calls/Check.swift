import LockContent
import LockCore
import SwiftProtobuf
import WireSchema

/// Parts of a request, if nothing is wrong with them; else what is, in the words of the newest wire
/// version.
enum Check {
  /// Nil where it is left open.
  static func kind(_ kind: NewestWire.Kind) throws(WireError) -> LockCore.Kind? {
    switch kind {
    case .unspecified: nil
    case .lock: .lock
    case .presence: .presence
    case .UNRECOGNIZED(let number):
      throw WireError(.invalidArgument, "invalid-kind", "\(number) is no kind")
    }
  }

  /// In whole milliseconds: rounded up, so that no lease is shorter than was asked for.
  static func lease(_ duration: Google_Protobuf_Duration) throws(WireError) -> Lease {
    guard isSound(duration, secondsMax: Lease.secondsMax),
      let lease = Lease(
        milliseconds: duration.seconds * 1_000 + (Int64(duration.nanos) + 999_999) / 1_000_000)
    else {
      throw WireError(
        .invalidArgument, "invalid-lease",
        "a lease is longer than 0 and at most \(Lease.secondsMax) seconds")
    }
    return lease
  }

  /// Whether it is 0 to `secondsMax` seconds, as protobuf writes it.
  private static func isSound(_ duration: Google_Protobuf_Duration, secondsMax: Int64) -> Bool {
    duration.seconds >= 0 && (0..<1_000_000_000).contains(duration.nanos)
      && (duration.seconds < secondsMax || (duration.seconds == secondsMax && duration.nanos == 0))
  }

  /// The longest wait of one request: an hour.
  private static let waitSecondsMax: Int64 = 3_600

  /// In nanoseconds.
  static func wait(_ duration: Google_Protobuf_Duration) throws(WireError) -> Int64 {
    guard isSound(duration, secondsMax: waitSecondsMax) else {
      throw WireError(
        .invalidArgument, "invalid-wait", "a wait is 0 to \(waitSecondsMax) seconds")
    }
    return duration.seconds * 1_000_000_000 + Int64(duration.nanos)
  }

  static func requestID(_ id: String) throws(WireError) -> String {
    try text(id, bytesMax: NameLimits.requestIDBytesMax, "invalid-request-id", of: "it")
  }

  static func owner(_ owner: String) throws(WireError) -> String {
    guard !owner.isEmpty else { throw WireError(.invalidArgument, "invalid-owner") }
    return try text(
      owner, bytesMax: NameLimits.ownerBytesMax, mayBeEmpty: false, "invalid-owner", of: "an owner")
  }

  static func keyText(_ key: String) throws(WireError) -> String {
    try text(key, bytesMax: NameLimits.keyBytesMax, mayBeEmpty: false, "invalid-key", of: "a key")
  }

  static func key(_ key: String) throws(WireError) -> String {
    let key = try keyText(key)
    guard !ReservedKeys.contains(key) else {
      throw WireError(
        .invalidArgument, "reserved-key",
        "keys that start with \"\(ReservedKeys.prefix)\" belong to the servers")
    }
    return key
  }

  static func partOfKey(_ text: String, _ word: String) throws(WireError) -> String {
    try self.text(text, bytesMax: NameLimits.keyBytesMax, word, of: "it")
  }

  static func value(_ value: String) throws(WireError) -> Content {
    Content(
      text: try text(value, bytesMax: NameLimits.valueBytesMax, "invalid-value", of: "a value"))
  }

  static func attributes(_ message: Google_Protobuf_Struct) throws(WireError) -> Content {
    let attributes = Attributes(message)
    guard attributes.isSound else {
      throw WireError(
        .invalidArgument, "invalid-attributes",
        "numbers are finite, text has no NUL, and there are at most \(Attributes.levelsMax) levels")
    }
    let content = Content(attributes)
    guard content.text.utf8.count <= NameLimits.valueBytesMax else {
      throw WireError(
        .invalidArgument, "invalid-attributes",
        "they take at most \(NameLimits.valueBytesMax) bytes as JSON")
    }
    return content
  }

  static func labels(_ labels: [String: String]) throws(WireError) -> [String: String] {
    guard !labels.isEmpty else { return [:] }
    guard labels.count <= NameLimits.labelsMax,
      labels.allSatisfy({ name, text in
        NameLimits.isLabelName(name)
          && NameLimits.isText(text, bytesMax: NameLimits.labelTextBytesMax)
      })
    else {
      throw WireError(
        .invalidArgument, "invalid-labels",
        "there are at most \(NameLimits.labelsMax), with names of 1 to "
          + "\(NameLimits.labelNameBytesMax) ASCII letters, digits, \".\", \"-\", \"_\" and \"/\", and "
          + "texts of at most \(NameLimits.labelTextBytesMax) bytes of UTF-8, no NUL")
    }
    return labels
  }

  static func time(_ timestamp: Google_Protobuf_Timestamp) throws(WireError) -> StatedTime {
    guard let time = StatedTime(seconds: timestamp.seconds, nanoseconds: timestamp.nanos) else {
      throw WireError(
        .invalidArgument, "invalid-granted-at", "it is in the years 1 to 9999")
    }
    return time
  }

  static func token(_ token: Int64) throws(WireError) -> Int64 {
    guard token > 0 else {
      throw WireError(.invalidArgument, "invalid-token", "a token is 1 or more, not \(token)")
    }
    return token
  }

  private static func text(
    _ text: String, bytesMax: Int, mayBeEmpty: Bool = true, _ word: String, of what: String
  ) throws(WireError) -> String {
    let isSound = mayBeEmpty ? NameLimits.isText : NameLimits.isName
    guard isSound(text, bytesMax) else {
      throw WireError(
        .invalidArgument, word,
        "\(what) has \(mayBeEmpty ? "at most" : "1 to") \(bytesMax) bytes of UTF-8, no NUL")
    }
    return text
  }
}
