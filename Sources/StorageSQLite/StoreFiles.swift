import CLinux
import Glibc
import Storage
import Exclusion

/// A file, whatever it is called.
struct FileIdentity: Equatable {
  var device: UInt64
  var inode: UInt64
}

/// A file as it is now.
struct FileStatus {
  let identity: FileIdentity
  let bytes: Int64
  /// Type and permissions.
  let mode: mode_t
  /// Hard links.
  let names: UInt32

  /// Nil where there is no file at `path`, or where it cannot be told; errno says why.
  init?(at path: String) {
    var file = linux_file()
    guard linux_look(path, &file) else { return nil }
    identity = FileIdentity(device: file.device, inode: file.inode)
    (bytes, mode, names) = (file.bytes, file.mode, file.names)
  }

  /// - Returns: Nil where there is no file.
  /// - Throws: Where that cannot be told.
  static func find(_ path: String) throws(StoreError) -> FileStatus? {
    if let status = FileStatus(at: path) { return status }
    switch errno {
    case ENOENT, ENOTDIR, ELOOP: return nil
    case let code:
      throw StoreError(
        .unavailable,
        "cannot look at \(path), a part of the store: \(String(cString: strerror(code)))")
    }
  }
}

/// The three files of a store: the database, its log (`-wal`) and its shared memory (`-shm`).
/// SQLite finds the latter two by the name of the first, with symbolic links resolved.
struct OpenFiles {
  /// As it was given: where the next server will look for it.
  let path: String
  let logPath: String
  let sharedMemoryPath: String
  let database: FileIdentity
  let log: FileIdentity
  let sharedMemory: FileIdentity

  /// Whether what a connection has open is what others find. Asked in every transaction, so it is
  /// no more than three calls of the system.
  ///
  /// - Returns: How long database and log are.
  /// - Throws: Where another server would open another file and grant the same locks once more.
  func check() throws(StoreError) -> LogIndex.Sizes {
    guard let database = try FileStatus.find(path), database.identity == self.database else {
      throw .hasMoved(path)
    }
    try StoreFiles.checkNames(database, path)
    guard try FileStatus.find(sharedMemoryPath)?.identity == sharedMemory else {
      throw .hasLost(sharedMemoryPath, of: path)
    }
    guard let log = try FileStatus.find(logPath), log.identity == self.log else {
      throw .hasLost(logPath, of: path)
    }
    return LogIndex.Sizes(database: database.bytes, log: log.bytes)
  }

  /// Whether the log is what is missing, and nothing is in its place.
  var onlyLogIsMissing: Bool {
    FileStatus(at: path)?.identity == database
      && FileStatus(at: sharedMemoryPath)?.identity == sharedMemory
      && FileStatus(at: logPath) == nil && errno == ENOENT
  }
}

/// Which files the connections of one server have open. A later connection must not go on with
/// others that were put in their place: the server knows leases and tokens of the first.
final class StoreFiles: Sendable {
  private struct State {
    /// Stays what it is for as long as the server runs.
    var database: FileIdentity?
    /// What the connections have open. The last one to be closed takes log and shared memory away
    /// with it.
    var open: OpenFiles?
    var connections = 0
    /// What cannot come back while the server runs.
    var loss: StoreError?
  }

  private let path: String
  private let state = Mutex(State())

  init(path: String) { self.path = path }

  /// Looks at the place before SQLite touches it.
  ///
  /// - Parameter create: Whether a missing file is made.
  func prepare(create: Bool) throws(StoreError) {
    if let loss { throw loss }
    // SQLite would make a log that is missing anew, and the next server take it for the store's.
    if let open = state.withLock({ $0.open }) { _ = try open.check() }
    var status = FileStatus(at: path)
    if status == nil {
      guard errno == ENOENT else { return }  // SQLite fails as well, and that error says why
      guard state.withLock({ $0.database }) == nil else { throw .hasMoved(path) }
      guard create else { return }
      // Not at the link where one leads to nothing: SQLite would make what it leads to, for everybody.
      let place = Self.target(of: path)
      // A network may be the wrong place for the folder already; nothing is left behind there.
      try Self.checkFileSystem(Self.folder(of: place), path)
      // For its owner only. By mknod(2), because closing a descriptor would end the locks that
      // other connections of this process have on the file. Where it fails SQLite makes the file,
      // or says why not.
      _ = mknod(place, S_IFREG | 0o600, 0)
      status = FileStatus(at: path)
    }
    guard let status else { return }
    switch status.mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR:
      throw StoreError(
        .unavailable,
        "cannot open the store \(path): it is a folder; name a file in it, such as "
          + "\(path)/latchkey.db")
    default:
      throw StoreError(.unavailable, "cannot open the store \(path): it is not a regular file")
    }
    try Self.checkNames(status, path)
    try Self.checkMount(status, path)
    try Self.checkFileSystem(path, path)
  }

  /// Takes in what `connection` has open now. It is in WAL mode and has read from the database.
  func adopt(_ connection: SQLiteConnection) throws(StoreError) -> OpenFiles {
    let (logPath, sharedMemoryPath) = (connection.filePath + "-wal", connection.filePath + "-shm")
    guard let database = try FileStatus.find(path)?.identity, !connection.hasMoved else {
      throw .hasMoved(path)
    }
    guard let log = try FileStatus.find(logPath)?.identity else {
      throw .hasLost(logPath, of: path)
    }
    guard let sharedMemory = try FileStatus.find(sharedMemoryPath)?.identity else {
      throw .hasLost(sharedMemoryPath, of: path)
    }
    let files = state.withLock { state in
      let known = state.database ?? database
      let files =
        state.open
        ?? OpenFiles(
          path: path, logPath: logPath, sharedMemoryPath: sharedMemoryPath, database: known,
          log: log, sharedMemory: sharedMemory)
      (state.database, state.open) = (known, files)
      state.connections += 1
      return files
    }
    do {
      _ = try files.check()
    } catch {
      release()
      throw error
    }
    return files
  }

  /// What is lost; nil where all is well.
  var loss: StoreError? { state.withLock { $0.loss } }

  /// Something is lost: from now on no connection is opened, and those that are open are of no use.
  ///
  /// - Returns: What was lost first.
  func note(_ loss: StoreError) -> StoreError {
    state.withLock { state in
      let first = state.loss ?? loss
      state.loss = first
      return first
    }
  }

  /// A connection that was taken in is closed.
  func release() {
    state.withLock { state in
      state.connections -= 1
      if state.connections == 0 { state.open = nil }
    }
  }

  // MARK: - Places that are refused

  /// - Throws: Where the file has several names. Its log is found by name, so servers of different names
  ///   would not see each other's.
  static func checkNames(_ status: FileStatus, _ path: String) throws(StoreError) {
    guard status.names > 1 else { return }
    throw StoreError(
      .unavailable,
      "the store \(path) has \(status.names) names (hard links), and a log for each: servers that "
        + "use different ones would grant the same locks; remove all names but this one")
  }

  /// - Throws: Where the file alone is mounted: its log is another one than at its other place.
  private static func checkMount(_ status: FileStatus, _ path: String) throws(StoreError) {
    var isMounted = linux_is_mount_root(path) == 1
    // Old kernels do not tell, but a file of another file system than its folder has to be mounted.
    if !isMounted, linux_is_mount_root(path) < 0, !isSymbolicLink(path),
      let folder = FileStatus(at: folder(of: path))
    {
      isMounted = folder.identity.device != status.identity.device
    }
    guard isMounted else { return }
    throw StoreError(
      .unavailable,
      "the store \(path) is mounted as a single file, so its log is not beside it: mount its folder "
        + "instead")
  }

  private static func checkFileSystem(_ place: String, _ path: String) throws(StoreError) {
    guard case .network(let name) = FileSystem(at: place) else { return }
    throw StoreError(
      .unavailable,
      "the store \(path) is on \(name), which other machines may have mounted too, each with locks of "
        + "its own: the store must be on a local disk")
  }

  private static func isSymbolicLink(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
  }

  /// Where `path` leads, through symbolic links of the file; as far as they can be followed.
  private static func target(of path: String) -> String {
    var target = path
    for _ in 0..<symbolicLinksMax {
      let link = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) {
        (bytes) -> String? in
        let count = readlink(target, bytes.baseAddress!, bytes.count)
        guard count >= 0 else { return nil }
        return String(
          validating: bytes[..<count].lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
      guard let link else { break }
      target = link.hasPrefix("/") ? link : "\(folder(of: target))/\(link)"
    }
    return target
  }

  /// As many as Linux follows (path_resolution(7)).
  private static let symbolicLinksMax = 40

  /// The folder that `path` is in.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  // MARK: - Places of which something is to be said

  /// What whoever runs the server should know of the place; each is said once.
  func remarks() -> [String] {
    var remarks: [String] = []
    switch FileSystem(at: path) {
    case .passing(let reason): remarks.append("the store \(path) is \(reason)")
    case .served:
      remarks.append(
        "the store \(path) is on a file system that a program serves (FUSE): if other machines can "
          + "mount it, no server may run there")
    case .local, .network: break
    }
    if let status = FileStatus(at: path), status.mode & S_IROTH != 0 {
      remarks.append(
        "the store \(path) can be read by every user of this machine, with all values and tokens: "
          + "chmod o= \(path)*")
    }
    return remarks
  }
}

extension StoreError {
  /// What is said where another file than the server's is at its path, or none.
  static func hasMoved(_ path: String) -> StoreError {
    StoreError(
      .unavailable,
      "the store \(path) was removed, moved or replaced while this server had it open: "
        + "put it back; a server that is restarted takes what is there, and begins anew where nothing is"
    )
  }

  /// What is said where a file beside the database is not the one that the server has open.
  static func hasLost(_ side: String, of path: String) -> StoreError {
    StoreError(
      .unavailable,
      "\(side), a part of the store \(path), was removed or replaced while this server had it open: "
        + "stop all servers of this store, then start them again")
  }

  /// What is said where a file was emptied, or cut off, and is still in its place.
  static func hasEmptied(_ file: String, of path: String) -> StoreError {
    let (name, remedy) =
      file == path
      ? ("the store", "restore a backup")
      : (
        "a part of the store \(path)",
        "start them again with what the database still has, or restore a backup"
      )
    return StoreError(
      .unavailable,
      "\(file), \(name), was emptied or cut off while this server had it open, and what was in it "
        + "is lost: stop all servers of this store, then \(remedy)")
  }
}
