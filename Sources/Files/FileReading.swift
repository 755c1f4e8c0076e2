import Glibc

/// Why a file cannot be used.
package struct FileError: Error, Equatable, CustomStringConvertible {
  /// In words for a person, with the file's path.
  package let description: String

  package init(_ description: String) { self.description = description }
}

package enum FileReading {
  /// All that is in a file. May block.
  ///
  /// - Parameter isRegular: Whether it has to be a file that can be read again.
  /// - Throws: ``FileError`` where it cannot be read, or has more than `bytesMax` bytes.
  package static func bytes(
    of path: String, max bytesMax: Int, isRegular: Bool = false
  ) throws(FileError) -> [UInt8] {
    // A pipe that nobody writes to holds up nobody.
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { throw failure(path) }
    defer { close(file) }
    if isRegular {
      var status = stat()
      guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        throw FileError("\(path) is no regular file, and so cannot be read again")
      }
    }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = read(file, &chunk, chunk.count)
      guard count >= 0 else { throw failure(path) }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= bytesMax else {
        throw FileError("\(path) has more than \(bytesMax) bytes")
      }
    }
  }

  private static func failure(_ path: String) -> FileError {
    FileError("cannot read \(path): \(String(cString: strerror(errno)))")
  }
}
