import Foundation
import Storage
import TestKit
import Testing
import WireSchema

/// The programs of one version of the software.
struct ReleasedPrograms: Sendable, CustomTestStringConvertible {
  /// "0.1.0"; "HEAD" for the one that is being tested.
  var version: String
  var newestWire: UInt32
  var newestShape: Int64
  /// The paths of the programs.
  var server: String
  var client: String

  var testDescription: String { version }

  static let head = ReleasedPrograms(
    version: "HEAD", newestWire: WireVersions.spoken.newest, newestShape: KnownShapes.all.newest,
    server: Program.folder + "/latchkeyd", client: Program.folder + "/latchkey")

  var isHead: Bool { version == Self.head.version }

  /// From 0.5.0 on.
  var speaksTLS: Bool { isHead || version.compare("0.5.0", options: .numeric) != .orderedAscending }

  /// What it is to be replaced by in tests of the present version: this one, and that one by all.
  var neighbours: [ReleasedPrograms] { isHead ? Self.all : [Self.head] }

  /// Every release that has a commit in Protocol/releases.json and of which no newer one has the wire versions,
  /// the shapes and all the stores, which would show the same; then the present one.
  ///
  /// The older ones take minutes to build: `.ci/build-release` does that, and LATCHKEY_RELEASES says
  /// where it put them. Without it, the present one is all that there is.
  static let all: [ReleasedPrograms] = {
    guard let folder = ProcessInfo.processInfo.environment["LATCHKEY_RELEASES"] else {
      return [head]
    }
    // What is missing there is found missing by the tests that start it.
    let releases = try! ProtocolFiles.json("releases.json").member("releases").list ?? []
    let distinct = zip(releases, releases.dropFirst()).filter { older, newer in
      let stores = (older.object?["stores"]?.list ?? []).map(\.string)
      let newerStores = (newer.object?["stores"]?.list ?? []).map(\.string)
      return ["wire", "shape"].contains { older.object?[$0] != newer.object?[$0] }
        || !stores.allSatisfy(newerStores.contains)
    }.map(\.0)
    return distinct.filter { $0.object?["commit"]?.isNull == false }.map { release in
      let version = release.object?["version"]?.string ?? ""
      return ReleasedPrograms(
        version: version,
        newestWire: release.object?["wire"]?.object?["newest"]?.integer.map { UInt32($0) } ?? 0,
        newestShape: release.object?["shape"]?.object?["newest"]?.integer.map { Int64($0) } ?? 0,
        server: "\(folder)/\(version)/latchkeyd", client: "\(folder)/\(version)/latchkey")
    } + [head]
  }()
}
