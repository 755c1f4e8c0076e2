package import WireSchema
import CZlib

/// Undoes the gzip encoding of a body, up to a bound.
package enum Inflate {
  /// How long `body` says that it is once it is inflated, in bytes, by its last four (RFC 1952, 2.3.1);
  /// nil where it is too short to say so.
  package static func statedBytes(_ body: [UInt8]) -> Int? {
    body.count < 4 ? nil : body.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// Undoes no more than `body` itself says that there is.
  ///
  /// - Parameter bytesMax: The largest result that is allowed: a few bytes can inflate to gigabytes.
  /// - Throws: ``RPCError``: `resourceExhausted` over the bound, `invalidArgument` for what is not
  ///   gzip (RFC 1952).
  package static func gzip(_ body: [UInt8], bytesMax: Int) throws(RPCError) -> [UInt8] {
    guard let stated = statedBytes(body) else { throw notGzip }
    let readMax = min(stated, bytesMax)
    var stream = z_stream()
    // 15 bits of window, and 16 for "a gzip header and trailer".
    guard
      inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw RPCError(.internal, "zlib could not be set up") }
    defer { inflateEnd(&stream) }

    var output: [UInt8] = []
    var input = body
    let code = input.withUnsafeMutableBufferPointer { input -> Int32 in
      stream.next_in = input.baseAddress
      stream.avail_in = uInt(input.count)
      var code = Z_OK
      while code == Z_OK, output.count <= readMax {
        code = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunkBytes) { chunk in
          stream.next_out = chunk.baseAddress
          stream.avail_out = uInt(chunkBytes)
          let code = inflate(&stream, Z_NO_FLUSH)
          output.append(contentsOf: chunk[..<(chunkBytes - Int(stream.avail_out))])
          return code
        }
      }
      return code
    }
    guard output.count <= bytesMax else {
      throw RPCError(
        .resourceExhausted, "invalid-message: the body inflates to more than \(bytesMax) bytes")
    }
    guard code == Z_STREAM_END, stream.avail_in == 0 else { throw notGzip }
    return output
  }

  private static let notGzip = RPCError(
    .invalidArgument, "invalid-message: the body is not what gzip makes")

  private static let chunkBytes = 16_384
}
