import CSQLite
import Glibc
import Storage

/// What a result code of SQLite means for who has to put it right: SQLite says what it could not
/// do, the operating system why, and the files' owners and modes what to do.
struct SQLiteFault {
  /// As the store was given.
  let path: String
  /// With symbolic links resolved; SQLite's other files have names that begin with it.
  let filePath: String
  let code: Int32
  /// SQLite's own words.
  let detail: String
  /// What the operating system said last (errno).
  let systemError: Int32

  var error: StoreError {
    let place: String
    switch code & 0xff {
    case SQLITE_BUSY, SQLITE_LOCKED:
      return unavailable("the store \(path) is locked by another process")
    case SQLITE_FULL: return unavailable("the disk of the store \(path) is full")
    case SQLITE_CORRUPT:
      return StoreError(.unavailable, "the store \(path) is corrupt (\(detail))")
    case SQLITE_NOTADB:
      return StoreError(.unusable, "\(path) is not an SQLite database (\(detail))")
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
      place = "the store \(path) cannot be written"
    case SQLITE_CANTOPEN: place = "cannot open the store \(path)"
    case SQLITE_IOERR:
      switch systemError {
      case ENOSPC: return unavailable("the disk of the store \(path) is full")
      case EDQUOT: return unavailable("the quota on the disk of the store \(path) is used up")
      case EROFS, EACCES, EPERM: place = "the store \(path) cannot be written"
      case 0: return unavailable("the store \(path) failed")
      default:
        return unavailable("the store \(path) failed: \(String(cString: strerror(systemError)))")
      }
    default: return unavailable("the store \(path) failed")
    }
    return unavailable(reason.map { "\(place): \($0)" } ?? place, mayPass: false)
  }

  private func unavailable(_ message: String, mayPass: Bool = true) -> StoreError {
    StoreError(
      .unavailable, "\(message) (\(detail), SQLite code \(code))", mayPass: mayPass)
  }

  /// Which of the store's files keeps this server out, and how; nil where none does.
  private var reason: String? {
    if let reason = folderReason { return reason }
    for file in [filePath, filePath + "-wal", filePath + "-shm"] {
      guard faccessat(AT_FDCWD, file, R_OK | W_OK, AT_EACCESS) != 0, errno != ENOENT else {
        continue
      }
      return reason(errno, of: file, isFolder: false)
    }
    return systemError == 0 ? nil : String(cString: strerror(systemError))
  }

  private var folderReason: String? {
    let folder = StoreFiles.folder(of: filePath)
    var status = stat()
    guard stat(folder, &status) == 0 else { return reason(errno, of: folder, isFolder: true) }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      return reason(ENOTDIR, of: folder, isFolder: true)
    }
    // SQLite makes its other files there.
    guard faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0 else { return nil }
    return reason(errno, of: folder, isFolder: true)
  }

  private func reason(_ code: Int32, of file: String, isFolder: Bool) -> String {
    switch code {
    case ENOENT: return "there is no folder \(file)"
    case ENOTDIR: return "a part of \(file) is not a folder"
    case EROFS: return "\(file) is on a file system that is mounted read-only"
    case EACCES, EPERM:
      var status = stat()
      guard stat(file, &status) == 0 else {
        return "this server, which runs as user \(geteuid()), may not enter a folder above \(file)"
      }
      let mode = String(status.st_mode & 0o7777, radix: 8)
      return "\(file) belongs to user \(status.st_uid), group \(status.st_gid), mode \(mode), and "
        + "this server runs as user \(geteuid()), group \(getegid()): give it the right to "
        + (isFolder ? "make files there" : "write it")
    default: return "\(file): \(String(cString: strerror(code)))"
    }
  }
}
