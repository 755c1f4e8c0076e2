import HTTP

/// The answers to what never reaches the receiver over HTTP/1.1.
struct HTTP1Rejections: Sendable {
  private let common: Rejections
  private let transferCoding: Rejections.Rejection
  private let foreign: [ForeignProtocol: Rejections.Rejection]

  init(_ common: Rejections, _ answer: (Refusal) -> Rejections.Rejection) {
    self.common = common
    transferCoding = answer(.transferCoding)
    foreign = Dictionary(
      uniqueKeysWithValues: ForeignProtocol.allCases.map {
        ($0, answer(.foreign($0)))
      })
  }

  subscript(refusal: HTTP1Refusal) -> Rejections.Rejection {
    switch refusal {
    case .malformed: common.malformed
    case .headersTooLarge: common.headersTooLarge
    case .bodyTooLarge: common.bodyTooLarge
    case .noRoom: common.tooManyBytes
    case .transferCoding: transferCoding
    }
  }

  subscript(foreign: ForeignProtocol) -> Rejections.Rejection { self.foreign[foreign]! }
}
