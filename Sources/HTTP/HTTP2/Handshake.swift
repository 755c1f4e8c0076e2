/// What a side says of itself in the frames that open a connection.
package struct HandshakeOffer: Sendable, Equatable {
  /// The value of SETTINGS ``settingsID``: `newest << 16 | oldest`.
  package var settingsValue: UInt32
  /// The payload of the HELLO frame, at most ``HTTP2Limits/helloBytesMax`` bytes. Empty: no frame
  /// is sent.
  package var hello: [UInt8]

  package init(settingsValue: UInt32, hello: [UInt8]) {
    self.settingsValue = settingsValue
    self.hello = hello
  }

  /// The SETTINGS parameter that carries the range of wire versions.
  package static let settingsID: UInt16 = 0x4C4B
  /// The type of the HELLO frame. It goes on stream 0 and has no flags.
  package static let helloFrameType: UInt8 = 0x4C
}
