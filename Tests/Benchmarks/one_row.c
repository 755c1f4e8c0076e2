// What a database can do over one connection, one thing after the other, without a lock service in between.
//
//   one_row ADDRESS SECONDS FIRST STATEMENT…   does FIRST once, and then all the others again and again;
//                                              prints how often it did, in how many seconds, and the median
//                                              of how long it took, in microseconds
//   one_row ADDRESS 0 FIRST STATEMENT          tries until it is done for the first time; prints when
//                                              (CLOCK_MONOTONIC)
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "one_row.h"

enum { TIMES_MAX = 4 << 20, PAUSE_MICROSECONDS = 500 };

static double times[TIMES_MAX];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void must(const char *statement) {
  if (perform(statement)) return;
  fprintf(stderr, "one_row: not done: %s\n", statement);
  exit(1);
}

static int byLength(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **arguments) {
  if (count < 5) return fputs("one_row: see its source for the arguments\n", stderr), 2;
  double seconds = atof(arguments[2]);
  openDatabase(arguments[1]);
  must(arguments[3]);
  if (seconds == 0) {
    while (!perform(arguments[4])) usleep(PAUSE_MICROSECONDS);
    printf("%.6f\n", now());
    return 0;
  }
  double begin = now(), last = begin;
  long done = 0;
  while (last < begin + seconds && done < TIMES_MAX) {
    for (int at = 4; at < count; at++) must(arguments[at]);
    double time = now();
    times[done++] = (time - last) * 1e6;
    last = time;
  }
  qsort(times, done, sizeof *times, byLength);
  printf("%ld %.6f %.1f\n", done, last - begin, times[done / 2]);
}
