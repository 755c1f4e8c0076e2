/// Why a connection ended.
package struct HTTP2ConnectionEnd: Error, Equatable, Sendable, CustomStringConvertible {
  /// Stable names, for metrics; more may come.
  package struct Code: RawRepresentable, Hashable, Sendable {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    /// The peer closed, or the channel was closed around us.
    package static let closed = Code(rawValue: "closed")
    /// A graceful shutdown of this side is complete.
    package static let drained = Code(rawValue: "drained")
    /// The peer said GOAWAY and its last stream ended.
    package static let goAway = Code(rawValue: "go-away")
    /// No stream for ``HTTP2Limits/idleTimeout``.
    package static let idle = Code(rawValue: "idle")
    /// Nothing came for ``HTTP2Limits/silenceTimeout``, not even the answer to a PING.
    package static let silent = Code(rawValue: "silent")
    /// No preface within ``HTTP2Limits/prefaceTimeout``.
    package static let prefaceTimeout = Code(rawValue: "preface-timeout")
    /// Nothing could be written for ``HTTP2Limits/writeTimeout``.
    package static let writeTimeout = Code(rawValue: "write-timeout")
    /// A header block did not end within ``HTTP2Limits/requestTimeout``.
    package static let headerTimeout = Code(rawValue: "header-timeout")
    /// The peer broke the rules of RFC 9113.
    package static let protocolError = Code(rawValue: "protocol-error")
    /// Too many RST_STREAM frames, or streams that had to be reset.
    package static let resetFlood = Code(rawValue: "reset-flood")
    /// Too many frames that move no request forward.
    package static let frameFlood = Code(rawValue: "frame-flood")
    /// A header block in too many pieces, or too long.
    package static let continuationFlood = Code(rawValue: "continuation-flood")
    /// Too many header lists that were too large.
    package static let headerFlood = Code(rawValue: "header-flood")
    /// The channel reported an error.
    package static let channelError = Code(rawValue: "channel-error")
    /// A failure of this side, such as no memory.
    package static let internalError = Code(rawValue: "internal-error")
  }

  package var code: Code
  /// What happened, in words for a person.
  package var message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { "\(code.rawValue): \(message)" }
}
