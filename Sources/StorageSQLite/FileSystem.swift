import CLinux

/// What a file system means to a store.
///
/// SQLite in WAL mode needs locks and shared memory that every server of the store sees. On one
/// machine they do; across a network each machine has its own, and both would grant the same locks.
enum FileSystem: Equatable {
  case local
  /// Other machines may have it mounted as well; its name.
  case network(String)
  /// What is in it is gone after a restart of the machine or of the container; what it is.
  case passing(String)
  /// A program serves it, which may do so for other machines too: SSHFS does, NTFS-3G does not.
  /// That cannot be told from here, and many of these have served stores well, so it is said and
  /// not refused.
  case served

  init(at path: String) { self.init(magic: linux_file_system(path)) }

  /// - Parameter magic: As statfs(2) has it. The numbers are from linux/magic.h, and for what the kernel
  ///   does not have itself from stat(1) of coreutils, which knows the remote ones.
  init(magic: UInt32) {
    self =
      switch magic {
      case 0x6969: .network("NFS")
      case 0x517B, 0xFF53_4D42, 0xFE53_4D42: .network("SMB")
      // Folders of a host that a virtual machine sees: each has locks of its own.
      case 0x0102_1997: .network("9P")
      case 0x786F_4256: .network("VirtualBox's shared folders")
      case 0x5346_414F, 0x6B41_4653: .network("AFS")
      case 0x7375_7245: .network("Coda")
      case 0x00C3_6400: .network("CephFS")
      case 0x0BD0_0BD0: .network("Lustre")
      case 0x4750_4653: .network("GPFS")
      case 0x0116_1970: .network("GFS2")
      case 0x7461_636F: .network("OCFS2")
      case 0x1983_0326: .network("BeeGFS")
      case 0xAAD7_AAEA: .network("PanFS")
      case 0x0102_1994, 0x8584_58F6:
        .passing("in memory: it is gone after a restart of the machine")
      case 0x794C_7630:
        .passing("in a layer of a container: it is gone when the container is removed")
      case 0x6573_5546: .served
      default: .local
      }
  }
}
