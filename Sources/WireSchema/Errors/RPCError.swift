/// An error as a call answers it: a Connect error.
///
/// Source: the Connect protocol, "Error Codes" and "Error End-Stream".
package struct RPCError: Error, Equatable, Sendable {
  /// The codes of the Connect protocol, each with its HTTP status.
  package enum Code: String, CaseIterable, Sendable {
    case canceled
    case unknown
    case invalidArgument = "invalid_argument"
    case deadlineExceeded = "deadline_exceeded"
    case notFound = "not_found"
    case alreadyExists = "already_exists"
    case permissionDenied = "permission_denied"
    case resourceExhausted = "resource_exhausted"
    case failedPrecondition = "failed_precondition"
    case aborted
    case outOfRange = "out_of_range"
    case unimplemented
    case `internal`
    case unavailable
    case dataLoss = "data_loss"
    case unauthenticated

    package var httpStatus: Int {
      switch self {
      case .canceled: 499
      case .unknown, .internal, .dataLoss: 500
      case .invalidArgument, .failedPrecondition, .outOfRange: 400
      case .deadlineExceeded: 504
      case .notFound: 404
      case .alreadyExists, .aborted: 409
      case .permissionDenied: 403
      case .resourceExhausted: 429
      case .unimplemented: 501
      case .unavailable: 503
      case .unauthenticated: 401
      }
    }

    /// The code that an answer without a Connect error stands for: a proxy's, most likely.
    package init(httpStatus: Int) {
      switch httpStatus {
      case 400: self = .internal
      case 401: self = .unauthenticated
      case 403: self = .permissionDenied
      case 404: self = .unimplemented
      case 429, 502, 503, 504: self = .unavailable
      default: self = .unknown
      }
    }
  }

  /// A fact about the error for programs: a protobuf message and its full name.
  package struct Detail: Equatable, Sendable {
    package var type: String
    package var value: [UInt8]

    package init(type: String, value: [UInt8]) {
      self.type = type
      self.value = value
    }
  }

  package var code: Code
  package var message: String
  package var details: [Detail]
  /// The HTTP status where it is not the code's own.
  package var httpStatus: Int

  package init(_ code: Code, _ message: String, details: [Detail] = [], httpStatus: Int? = nil) {
    self.code = code
    self.message = message
    self.details = details
    self.httpStatus = httpStatus ?? code.httpStatus
  }
}

extension RPCError {
  /// An error of a wire version as it travels.
  package init(_ error: WireError) {
    let details = error.details.compactMap { message in
      (try? message.serializedBytes() as [UInt8]).map {
        Detail(type: type(of: message).protoMessageName, value: $0)
      }
    }
    self.init(Code(rawValue: error.code.rawValue)!, error.message, details: details)
  }
}
