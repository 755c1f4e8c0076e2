import LockContent
import LockCore
import TestKit
import Testing

@testable import Storage

/// Eight times what a list asks for takes about eight times as long to compare with what a holder has.
@Suite(.serialized) struct ListFilterGrowthTests {
  /// The largest value, in bytes.
  private static let sizeMax = NameLimits.valueBytesMax

  struct Filter: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Of about so many bytes.
    var attributes: @Sendable (Int) -> Attributes = { _ in [:] }
    var labels: @Sendable (Int) -> [String: String] = { _ in [:] }
  }

  private static func members(
    _ count: Int, _ name: (Int) -> String = String.init
  ) -> Attributes {
    Attributes(Dictionary(uniqueKeysWithValues: (0..<count).map { (name($0), .number(1)) }))
  }

  static let filters = [
    Filter(testDescription: "many attributes", attributes: { members($0 / 10) }),
    Filter(
      testDescription: "many names with marks",
      attributes: { members($0 / 70) { "\($0)\(Marks.run(30))" } }),
    Filter(testDescription: "a text of marks", attributes: { ["a": .string(Marks.run($0 / 2))] }),
    Filter(
      testDescription: "a long list",
      attributes: { ["a": .list(.init(repeating: 1, count: $0 / 2))] }),
    Filter(testDescription: "a nested one", attributes: { ["a": .nested(members($0 / 10))] }),
    Filter(
      testDescription: "labels",
      labels: { size in
        Dictionary(uniqueKeysWithValues: (0..<size / 20).map { ("\($0)", "text") })
      }),
    Filter(testDescription: "a label of marks", labels: { ["a": Marks.run($0 / 2)] }),
  ]

  @Test(arguments: filters) func ofComparing(_ filter: Filter) {
    let ratio = Growth.ratio(size: Self.sizeMax) { size in
      var range = Query.Range(kind: .lock)
      (range.attributes, range.labels) = (filter.attributes(size), filter.labels(size))
      // Made anew: what is shared with the other would be the same at a glance.
      let holder = Holder(
        kind: .lock, owner: "o", content: Content(filter.attributes(size)),
        lease: Lease(milliseconds: 1_000)!, labels: filter.labels(size))
      return (range, holder)
    } work: { range, holder in
      (range.isMet(by: holder), Terms.of(range))
    }
    #expect(ratio <= Growth.ratioMax)
  }
}
