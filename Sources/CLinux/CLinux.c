#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int argument_count;
static char **arguments;

// glibc hands constructors what it will hand to `main`.
__attribute__((constructor)) static void remember(int argc, char **argv) {
  argument_count = argc;
  arguments = argv;
}

int linux_argument_count(void) { return argument_count; }
char **linux_arguments(void) { return arguments; }

// What the kernel shows as the command line.
static char *shown;
static size_t shown_size;

// Leaves the memory of the arguments to what is shown. They lie behind each other where the kernel
// has put them; where something else has, the first ones are what is shown.
static int move_arguments(void) {
  if (argument_count == 0) return 0;
  char *end = arguments[0];
  for (int index = 0; index < argument_count && arguments[index] == end; index++)
    end += strlen(end) + 1;
  char **copy = calloc((size_t)argument_count + 1, sizeof *copy);
  if (!copy) return 0;
  for (int index = 0; index < argument_count; index++)
    if (!(copy[index] = strdup(arguments[index]))) return 0;
  shown = arguments[0];
  shown_size = (size_t)(end - shown);
  arguments = copy;
  return 1;
}

void linux_set_name(const char *name) {
  prctl(PR_SET_NAME, name, 0, 0, 0);
  if (!shown && !move_arguments()) return;
  // What ends without a zero, the kernel takes to go on in the environment.
  memset(shown, 0, shown_size);
  memcpy(shown, name, strnlen(name, shown_size - 1));
}

void linux_open_standard_streams(void) {
  int descriptor;
  while ((descriptor = open("/dev/null", O_RDWR)) >= 0 && descriptor <= STDERR_FILENO) {
  }
  if (descriptor >= 0) close(descriptor);
}

pid_t linux_fork(void) { return fork(); }

int linux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

void linux_close_all_but(int kept) {
  if (syscall(SYS_close_range, 0U, (unsigned)kept - 1, 0U) == 0 &&
      syscall(SYS_close_range, (unsigned)kept + 1, ~0U, 0U) == 0)
    return;
  // A kernel before 5.9.
  long max = sysconf(_SC_OPEN_MAX);
  for (int descriptor = 0; descriptor < max; descriptor++)
    if (descriptor != kept) close(descriptor);
}

int linux_open_process(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0U); }

int linux_signal_open_process(int descriptor, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, descriptor, signal, (void *)0, 0U);
}

pid_t linux_newest_process_id(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  if (child > 0)
    while (waitpid(child, 0, 0) < 0 && errno == EINTR) {
    }
  return child;
}

int linux_signal_children(pid_t first, pid_t last, int signal) {
  int count = 0;
  for (pid_t process = first; process <= last; process++) {
    siginfo_t info;
    if (waitid(P_PID, (id_t)process, &info, WEXITED | WNOHANG | WNOWAIT) != 0) continue;
    if (kill(process, signal) == 0) count++;
  }
  return count;
}

extern void *swift_task_enqueueGlobal_hook;

void linux_set_task_hook(void *hook) { swift_task_enqueueGlobal_hook = hook; }
