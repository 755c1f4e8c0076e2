import Foundation
import SwiftProtobuf
import TestKit

/// The files of Protocol/ and the recorded databases, found by the path of this source file.
enum ProtocolFiles {
  private static let support = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  private static let tests = support.deletingLastPathComponent()
  private static let root = tests.deletingLastPathComponent().deletingLastPathComponent()

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appending(path: "Protocol/\(path)"), encoding: .utf8)
  }

  /// The JSON value in a file of Protocol/.
  static func json(_ path: String) throws -> Google_Protobuf_Value {
    try Google_Protobuf_Value(jsonString: text(path))
  }

  /// The names of the files in a folder of Protocol/, sorted.
  static func names(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(
      atPath: root.appending(path: "Protocol/\(folder)").path
    ).sorted()
  }

  /// What software of each version left behind: the name of the folder is the version.
  static func capsules() throws -> [String] {
    try FileManager.default.contentsOfDirectory(
      atPath: tests.appending(path: "Capsules").path
    ).sorted()
  }

  static func capsule(_ version: String, _ file: String) -> URL {
    tests.appending(path: "Capsules/\(version)/\(file)")
  }
}

/// Short words for JSON values, which protobuf's own picture of JSON spells out.
extension Google_Protobuf_Value {
  var object: [String: Google_Protobuf_Value]? {
    if case .structValue(let value) = kind { value.fields } else { nil }
  }
  var list: [Google_Protobuf_Value]? {
    if case .listValue(let value) = kind { value.values } else { nil }
  }
  var string: String? {
    if case .stringValue(let value) = kind { value } else { nil }
  }
  var integer: Int64? {
    if case .numberValue(let value) = kind { Int64(exactly: value) } else { nil }
  }
  var isNull: Bool {
    if case .nullValue = kind { true } else { false }
  }

  /// - Throws: ``PeerFault`` where the object has no such member.
  func member(_ name: String) throws -> Google_Protobuf_Value {
    guard let value = object?[name] else { throw PeerFault(message: "\"\(name)\" is missing") }
    return value
  }
}
