// What Linux says of where a file is, and Swift's Glibc module leaves out.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

#include <errno.h>
#include <linux/stat.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

// Whether what `path` leads to is the root of a mount: a file on which another one is mounted, say.
// 1 for yes, 0 for no, -1 where the kernel does not tell (before 5.8) or there is no such file.
static inline int linux_is_mount_root(const char *path) {
  struct statx found;
  // AT_FDCWD, as where no descriptor of a folder is given.
  if (syscall(SYS_statx, -100, path, 0, STATX_TYPE, &found) != 0) return -1;
  if (!(found.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)) return -1;
  return (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) ? 1 : 0;
}

// What servers of a store look at of its files. All that others see of them but their times: where
// those were asked for, Linux (from 6.13 on) gives the file a time of its own with the next write,
// instead of one for all writes of a few milliseconds, and syncing it then writes its inode too.
struct linux_file {
  uint64_t device, inode;
  int64_t bytes;
  uint32_t mode, names;
};

// As stat(2): false where there is no file at `path`, with errno.
static inline bool linux_look(const char *path, struct linux_file *file) {
  struct statx found;
  unsigned int wanted = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_INO | STATX_SIZE;
  if (syscall(SYS_statx, -100, path, 0, wanted, &found) == 0) {
    *file = (struct linux_file){
        .device = (uint64_t)found.stx_dev_major << 32 | found.stx_dev_minor,
        .inode = found.stx_ino, .bytes = (int64_t)found.stx_size, .mode = found.stx_mode,
        .names = found.stx_nlink};
    return true;
  }
  // Not known before 4.11, and not let through by old containers.
  if (errno != ENOSYS && errno != EPERM) return false;
  struct stat status;
  if (stat(path, &status) != 0) return false;
  *file = (struct linux_file){
      .device = (uint64_t)major(status.st_dev) << 32 | minor(status.st_dev),
      .inode = status.st_ino, .bytes = status.st_size, .mode = status.st_mode,
      .names = (uint32_t)status.st_nlink};
  return true;
}

// The number of the file system that `path` is on (linux/magic.h); 0 where it is not known.
static inline unsigned int linux_file_system(const char *path) {
  struct statfs found;
  return statfs(path, &found) == 0 ? (unsigned int)found.f_type : 0;
}

#endif
