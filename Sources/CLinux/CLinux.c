#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

struct trial {
  pthread_t thread;
  pid_t id;
  pthread_mutex_t *gate;
};

static void *wait_at_gate(void *argument) {
  struct trial *trial = argument;
  trial->id = (pid_t)syscall(SYS_gettid);
  pthread_mutex_lock(trial->gate);
  pthread_mutex_unlock(trial->gate);
  return 0;
}

int linux_try_threads(int count) {
  struct trial *trials = calloc((size_t)count, sizeof *trials);
  if (!trials) return ENOMEM;
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&gate);
  int started = 0, code = 0;
  for (; started < count && code == 0; started += code == 0) {
    trials[started].gate = &gate;
    code = pthread_create(&trials[started].thread, 0, wait_at_gate, &trials[started]);
  }
  pthread_mutex_unlock(&gate);
  for (int index = 0; index < started; index++) pthread_join(trials[index].thread, 0);
  // A thread that was joined still counts for a moment, until its id is free.
  for (int index = 0; index < started; index++)
    while (syscall(SYS_tgkill, getpid(), trials[index].id, 0) == 0) sched_yield();
  pthread_mutex_destroy(&gate);
  free(trials);
  return code;
}

int linux_try_files(int count) {
  int *files = calloc((size_t)count, sizeof *files);
  if (!files) return ENOMEM;
  int opened = 0, code = 0;
  for (; opened < count && code == 0; opened += code == 0) {
    files[opened] = open("/", O_PATH | O_CLOEXEC);
    if (files[opened] < 0) code = errno;
  }
  for (int index = 0; index < opened; index++) close(files[index]);
  free(files);
  return code;
}

const char *linux_limit_behind(int error) {
  switch (error) {
  case EAGAIN: return ": no more processes and threads are allowed (ulimit -u, TasksMax of systemd, pids.max)";
  case EMFILE: return ": no more open files are allowed (ulimit -n, LimitNOFILE of systemd)";
  default: return "";
  }
}

extern void *swift_task_enqueueGlobal_hook;

void linux_set_task_hook(void *hook) { swift_task_enqueueGlobal_hook = hook; }
