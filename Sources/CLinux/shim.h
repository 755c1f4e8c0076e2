// What Linux and glibc have and Swift's Glibc module leaves out.
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>

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
