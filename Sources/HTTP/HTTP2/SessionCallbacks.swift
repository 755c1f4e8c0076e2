import CNghttp2

/// The C functions that nghttp2 calls, the same for every session: each finds its handler in the
/// user data and hands over.
struct SessionCallbacks: @unchecked Sendable {
  // Sendable: written in `init` only; nghttp2 copies the table into each session.
  static let shared = SessionCallbacks()

  let table: OpaquePointer

  private init() {
    var table: OpaquePointer?
    guard nghttp2_session_callbacks_new(&table) == 0, let table else {
      fatalError("no memory for the HTTP/2 callbacks")
    }
    self.table = table
    addHeaderCallbacks()
    addFrameCallbacks()
    addExtensionCallbacks()
  }

  private func addHeaderCallbacks() {
    nghttp2_session_callbacks_set_on_begin_headers_callback(table) { _, frame, data in
      withHandler(data) { $0.headersBegan(frame.unsafelyUnwrapped) }
      return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(table) {
      _, frame, name, nameCount, value, valueCount, _, data in
      withHandler(data) {
        $0.headerReceived(
          UnsafeRawBufferPointer(start: name, count: nameCount),
          UnsafeRawBufferPointer(start: value, count: valueCount),
          stream: frame.unsafelyUnwrapped.pointee.hd.stream_id)
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_invalid_header_callback(table) {
      _, frame, _, _, _, _, _, data in
      withHandler(data) { $0.invalidHeaderReceived(frame.unsafelyUnwrapped.pointee.hd.stream_id) }
      return 0
    }
  }

  private func addFrameCallbacks() {
    nghttp2_session_callbacks_set_on_frame_recv_callback(table) { _, frame, data in
      withHandler(data) { $0.receivedFrame(frame.unsafelyUnwrapped) }
      return 0
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table) {
      _, _, stream, bytes, count, data in
      withHandler(data) {
        $0.dataReceived(UnsafeRawBufferPointer(start: bytes, count: count), stream: stream)
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(table) { _, frame, data in
      withHandler(data) { $0.sentFrame(frame.unsafelyUnwrapped) }
      return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(table) { _, stream, code, data in
      withHandler(data) { $0.streamClosed(stream, code: code) }
      return 0
    }
  }

  private func addExtensionCallbacks() {
    nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(table) {
      _, frame, bytes, count, data in
      withHandler(data) {
        $0.extensionReceived(
          UnsafeRawBufferPointer(start: bytes, count: count),
          of: frame.unsafelyUnwrapped.pointee)
      }
      return 0
    }
    nghttp2_session_callbacks_set_unpack_extension_callback(table) { _, payload, frame, data in
      payload.unsafelyUnwrapped.pointee = nil
      withHandler(data) { $0.extensionEnded(frame.unsafelyUnwrapped.pointee) }
      return 0
    }
    nghttp2_session_callbacks_set_pack_extension_callback(table) { _, room, count, frame, data in
      let key = UInt(bitPattern: frame.unsafelyUnwrapped.pointee.ext.payload)
      let room = UnsafeMutableRawBufferPointer(start: room, count: count)
      return withHandler(data) { $0.packExtension(key, into: room) }
    }
  }
}

/// nghttp2 calls only while the handler, which owns the session, is inside of a call into it: so
/// the handler lives, and need not be retained.
@inline(__always)
private func withHandler<R>(_ data: UnsafeMutableRawPointer?, _ body: (HTTP2Handler) -> R) -> R {
  Unmanaged<HTTP2Handler>.fromOpaque(data.unsafelyUnwrapped)._withUnsafeGuaranteedRef(body)
}
