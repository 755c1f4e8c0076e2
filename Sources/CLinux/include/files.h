// What Linux says of where a file is, and Swift's Glibc module leaves out.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

#include <linux/stat.h>
#include <sys/syscall.h>
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

// The number of the file system that `path` is on (linux/magic.h); 0 where it is not known.
static inline unsigned int linux_file_system(const char *path) {
  struct statfs found;
  return statfs(path, &found) == 0 ? (unsigned int)found.f_type : 0;
}

#endif
