// What Linux and glibc have and Swift's Glibc module leaves out, or can only be done in C.
#ifndef CLINUX_H
#define CLINUX_H

#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>

#include "files.h"

// The arguments that `main` got, argv[0] included. Swift's CommandLine reads them from /proc, which
// need not be there, nor be this process' own.
int linux_argument_count(void);
char *_Nullable *_Nonnull linux_arguments(void);

// Asks for `signal` when the thread that started this process ends. prctl is variadic, which Swift
// does not import. Returns 0, or -1 with errno set.
static inline int linux_set_parent_death_signal(int signal) {
  return prctl(PR_SET_PDEATHSIG, (unsigned long)signal, 0, 0, 0);
}

// Has the kernel give this process the orphans among its descendants, so that none gets out of its
// sight. Returns 0, or -1 with errno set.
static inline int linux_adopt_orphans(void) {
  return prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0, 0, 0);
}

// Names this process for ps, pgrep and killall: the first 15 bytes count. The name also takes the
// place of the command line that they show, as far as it fits there; linux_arguments() stays what it
// was, at another place. Only for a process that has one thread.
void linux_set_name(const char *_Nonnull name);

// Opens what the caller closed of the standard streams: they would be the numbers of the next
// sockets. To be called before anything is opened.
void linux_open_standard_streams(void);

// fork(2), which Swift withholds: the child of a process with several threads may not do much. Only
// for a process that has one thread.
pid_t linux_fork(void);

// A pipe, whose ends no other program gets that this one starts. Returns 0, or -1 with errno set.
int linux_pipe(int ends[_Nonnull 2]);

// Closes all file descriptors but `kept`, which must not be the largest one there can be.
void linux_close_all_but(int kept);

// A descriptor of a process, which goes on meaning that process when its id is another's
// (pidfd_open(2), from Linux 5.3 on). Returns -1 with errno set.
int linux_open_process(pid_t process);
int linux_signal_open_process(int descriptor, int signal);

// The process id that was given out last, as far as this process' namespace is concerned; -1 with
// errno set where no process can be started.
pid_t linux_newest_process_id(void);

// Sends `signal` to each child of this process whose id is within the range, without /proc. An id of
// a child cannot be another's before the child is waited for. Returns how many it was sent to.
int linux_signal_children(pid_t first, pid_t last, int signal);

// Starts `count` threads that do nothing, and ends them: whether there is room for as many (RLIMIT_NPROC,
// pids.max, memory). Where there is not, libdispatch tries for ever, and NIO ends the program.
// Returns 0, or the error number. None of them counts any more when it returns.
int linux_try_threads(int count);

// Opens `count` files and closes them: whether as many may be open beside those that are. Where they may not,
// NIO ends the program. Returns 0, or the error number.
int linux_try_files(int count);

// What to say behind the words for an error number where a limit of the system may be the cause; may be empty.
const char *_Nonnull linux_limit_behind(int error);

// Sets what the Swift runtime calls to have a task run that belongs to no actor.
void linux_set_task_hook(void *_Nonnull hook);

#endif
