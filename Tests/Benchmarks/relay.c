// A long line to a port of this machine: whatever comes in goes out on the other side MICROSECONDS later, in its
// order, and nothing is lost.
//
//   relay PORT MICROSECONDS      prints the port at which it listens
//
// A thread for each direction of each connection reads, and one writes: reading never waits for a delay.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 16 };

typedef struct Chunk {
  struct Chunk *next;
  struct timespec due;
  ssize_t bytes;  // None at the end.
  char data[];
} Chunk;

typedef struct {
  int from, to;
  Chunk *first, **last;
  pthread_mutex_t lock;
  pthread_cond_t change;
} Direction;

static long delayNanoseconds;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void *readAll(void *argument) {
  Direction *direction = argument;
  static _Thread_local char buffer[CHUNK_BYTES];
  ssize_t count;
  do {
    count = recv(direction->from, buffer, sizeof buffer, 0);
    if (count < 0) count = 0;
    Chunk *chunk = malloc(sizeof *chunk + count);
    clock_gettime(CLOCK_MONOTONIC, &chunk->due);
    chunk->due.tv_nsec += delayNanoseconds;
    chunk->due.tv_sec += chunk->due.tv_nsec / 1000000000;
    chunk->due.tv_nsec %= 1000000000;
    chunk->bytes = count;
    chunk->next = NULL;
    memcpy(chunk->data, buffer, count);
    pthread_mutex_lock(&direction->lock);
    *direction->last = chunk;
    direction->last = &chunk->next;
    pthread_cond_signal(&direction->change);
    pthread_mutex_unlock(&direction->lock);
  } while (count);
  return NULL;
}

static Chunk *next(Direction *direction) {
  pthread_mutex_lock(&direction->lock);
  while (!direction->first) pthread_cond_wait(&direction->change, &direction->lock);
  Chunk *chunk = direction->first;
  direction->first = chunk->next;
  if (!direction->first) direction->last = &direction->first;
  pthread_mutex_unlock(&direction->lock);
  return chunk;
}

static void *writeAll(void *argument) {
  Direction *direction = argument;
  // The kernel is not to be late by 50 microseconds, as it is by default.
  prctl(PR_SET_TIMERSLACK, 1);
  for (int isOpen = 1; isOpen;) {
    Chunk *chunk = next(direction);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &chunk->due, NULL);
    isOpen = chunk->bytes > 0;
    for (ssize_t sent = 0; sent < chunk->bytes;) {
      ssize_t count = send(direction->to, chunk->data + sent, chunk->bytes - sent, MSG_NOSIGNAL);
      if (count <= 0) break;
      sent += count;
    }
    free(chunk);
  }
  shutdown(direction->to, SHUT_WR);
  return NULL;
}

static void start(int from, int to) {
  Direction *direction = calloc(1, sizeof *direction);
  direction->from = from;
  direction->to = to;
  direction->last = &direction->first;
  pthread_mutex_init(&direction->lock, NULL);
  pthread_cond_init(&direction->change, NULL);
  int yes = 1;
  setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  pthread_t thread;
  if (pthread_create(&thread, NULL, readAll, direction) || pthread_create(&thread, NULL, writeAll, direction))
    fail("no thread");
}

int main(int count, char **arguments) {
  if (count != 3) return fputs("relay: see its source for the arguments\n", stderr), 2;
  delayNanoseconds = atol(arguments[2]) * 1000;
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, there = here;
  there.sin_port = htons(atoi(arguments[1]));
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = sizeof here;
  if (bind(listener, (void *)&here, length) || listen(listener, 64) || getsockname(listener, (void *)&here, &length))
    fail("cannot listen");
  printf("%d\n", ntohs(here.sin_port));
  fflush(stdout);
  for (;;) {
    int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0) fail("cannot accept");
    if (connect(server, (void *)&there, sizeof there)) {
      close(client);
      close(server);
      continue;
    }
    start(client, server);
    start(server, client);
  }
}
