import CNghttp2

/// The sending half of one stream: the body that nghttp2 takes from it piece by piece.
package class FrameStream {
  /// The stream's id (RFC 9113 5.1.1), 0 until there is one.
  final var id: Int32
  /// The message body to send.
  @exclusivity(unchecked) final var outgoing: [UInt8] = []
  /// How much of ``outgoing`` nghttp2 has taken.
  final var outgoingTaken = 0

  init(id: Int32) { self.id = id }

  /// Hands `submit` what makes nghttp2 read ``outgoing``, or nil where that is empty. The stream
  /// must live until nghttp2 closes its own.
  final func withDataProvider<R>(
    _ submit: (UnsafePointer<nghttp2_data_provider>?) -> R
  ) -> R {
    guard !outgoing.isEmpty else { return submit(nil) }
    let provider = nghttp2_data_provider(
      source: nghttp2_data_source(ptr: Unmanaged.passUnretained(self).toOpaque()),
      read_callback: { _, _, room, count, flags, source, _ in
        let stream = Unmanaged<FrameStream>.fromOpaque(
          source.unsafelyUnwrapped.pointee.ptr.unsafelyUnwrapped)
        return stream._withUnsafeGuaranteedRef {
          $0.take(
            into: UnsafeMutableRawBufferPointer(start: room, count: count),
            flags: flags.unsafelyUnwrapped)
        }
      })
    return withUnsafePointer(to: provider) { submit($0) }
  }

  private final func take(
    into room: UnsafeMutableRawBufferPointer, flags: UnsafeMutablePointer<UInt32>
  ) -> Int {
    let count = min(room.count, outgoing.count - outgoingTaken)
    outgoing.withUnsafeBytes {
      room.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[outgoingTaken..<outgoingTaken + count]))
    }
    outgoingTaken += count
    if outgoingTaken == outgoing.count { flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue) }
    return count
  }
}
