import HTTP2

/// The answers to what never reaches the receiver over HTTP/1.1.
struct HTTP1Rejections: Sendable {
  private let common: HTTP2Rejections
  private let transferCoding: HTTP2Rejections.Rejection
  private let foreign: [ForeignProtocol: HTTP2Rejections.Rejection]

  /// - Parameter rejection: Makes the answer of an error.
  init(_ common: HTTP2Rejections, _ rejection: (RPCError) -> HTTP2Rejections.Rejection) {
    self.common = common
    transferCoding = rejection(
      RPCError(.unimplemented, "of transfer codings only chunked is understood"))
    foreign = Dictionary(
      uniqueKeysWithValues: ForeignProtocol.allCases.map {
        ($0, rejection(RPCError(.invalidArgument, $0.message)))
      })
  }

  subscript(refusal: HTTP1Refusal) -> HTTP2Rejections.Rejection {
    switch refusal {
    case .malformed: common.malformed
    case .headersTooLarge: common.headersTooLarge
    case .bodyTooLarge: common.bodyTooLarge
    case .noRoom: common.tooManyBytes
    case .transferCoding: transferCoding
    }
  }

  subscript(foreign: ForeignProtocol) -> HTTP2Rejections.Rejection { self.foreign[foreign]! }
}
