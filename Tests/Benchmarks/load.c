// Load over HTTP/2 in which every request has a key of its own, or in which many fight over few keys: what h2load,
// which sends one body, cannot do.
//
//   load PORT CONNECTIONS STREAMS SECONDS KEYS CONTENT-TYPE PATH BODY-FILE [PATH BODY-FILE]
//
// Each stream of each connection is a client, which does one request after the other. In a body "#######" stands
// for the number of a key and "@@@@@@@" for that of the client. With one path the keys are taken in turn. With two,
// a client takes any key, sends the first request and, where that was granted, the second one for the same key.
//
// Prints one line of JSON. A refusal is the answer 409, or a gRPC status other than 0; latencies are in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_MAX = 2, BODY_BYTES_MAX = 1024, ANSWER_BYTES_MAX = 256, NUMBER_DIGITS = 7 };

typedef struct {
  const char *path;
  char body[BODY_BYTES_MAX];
  size_t bytes, key, client;  // Where the numbers are; 0 for nowhere.
  long granted;
} Step;

typedef struct {
  nghttp2_session *session;
  int socket;
  const uint8_t *unsent;
  size_t unsentBytes;
} Connection;

typedef struct {
  Connection *connection;
  int step, isGranted, isRefused;
  long number, key, granted;
  char body[BODY_BYTES_MAX];
  size_t sent;
  double begin;
  char answer[ANSWER_BYTES_MAX];  // As much of it as fits, for a failure.
  size_t answerBytes;
} Client;

static Step steps[STEPS_MAX];
static int stepCount;
static long keys, nextKey, refused, failed, underWay;
static const char *contentType;
static double end;
static double *latencies;
static size_t latencyCount, latencyRoom;

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static size_t placeOf(const char *mark, const Step *step) {
  const char *place = memmem(step->body, step->bytes, mark, NUMBER_DIGITS);
  return place ? (size_t)(place - step->body) : 0;
}

static void readStep(const char *path, const char *file) {
  Step *step = &steps[stepCount++];
  step->path = path;
  FILE *stream = fopen(file, "rb");
  if (!stream) fail(file);
  step->bytes = fread(step->body, 1, BODY_BYTES_MAX, stream);
  fclose(stream);
  step->key = placeOf("#######", step);
  step->client = placeOf("@@@@@@@", step);
}

static void putNumber(char *place, long number) {
  for (int digit = NUMBER_DIGITS - 1; digit >= 0; digit--, number /= 10) place[digit] = '0' + number % 10;
}

static ssize_t readBody(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t room, uint32_t *flags,
                        nghttp2_data_source *source, void *context) {
  Client *client = source->ptr;
  size_t left = steps[client->step].bytes - client->sent, count = left < room ? left : room;
  memcpy(buffer, client->body + client->sent, count);
  client->sent += count;
  if (count == left) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return count;
}

#define FIELD(name, text) \
  { (uint8_t *)name, (uint8_t *)text, sizeof(name) - 1, strlen(text), NGHTTP2_NV_FLAG_NONE }

static void ask(Client *client) {
  // What was granted is given back.
  if (client->step == 0 && now() >= end) return;
  if (client->step == 0) client->key = stepCount == 1 ? nextKey++ % keys : random() % keys;
  const Step *step = &steps[client->step];
  memcpy(client->body, step->body, step->bytes);
  if (step->key) putNumber(client->body + step->key, client->key);
  if (step->client) putNumber(client->body + step->client, client->number);
  client->sent = 0;
  client->isGranted = client->isRefused = 0;
  client->answerBytes = 0;
  nghttp2_nv fields[] = {
    FIELD(":method", "POST"), FIELD(":scheme", "http"), FIELD(":path", step->path),
    FIELD(":authority", "127.0.0.1"), FIELD("content-type", contentType), FIELD("te", "trailers"),
  };
  nghttp2_data_provider body = {.source.ptr = client, .read_callback = readBody};
  client->begin = now();
  if (nghttp2_submit_request(client->connection->session, NULL, fields, sizeof fields / sizeof *fields, &body,
                             client) < 0)
    fail("cannot submit a request");
  underWay++;
}

static int onHeader(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t nameBytes,
                    const uint8_t *value, size_t bytes, uint8_t flags, void *context) {
  Client *client = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (!client) return 0;
  if (nameBytes == 7 && !memcmp(name, ":status", 7)) {
    client->isGranted = !memcmp(value, "200", 3);
    client->isRefused = !memcmp(value, "409", 3);
  } else if (nameBytes == 11 && !memcmp(name, "grpc-status", 11) && !(bytes == 1 && *value == '0')) {
    client->isGranted = 0;
    client->isRefused = 1;
  }
  return 0;
}

static int onData(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t bytes,
                  void *context) {
  Client *client = nghttp2_session_get_stream_user_data(session, stream);
  size_t room = client ? ANSWER_BYTES_MAX - client->answerBytes : 0, count = bytes < room ? bytes : room;
  if (count) memcpy(client->answer + client->answerBytes, data, count);
  if (count) client->answerBytes += count;
  return 0;
}

static int onClose(nghttp2_session *session, int32_t stream, uint32_t code, void *context) {
  Client *client = nghttp2_session_get_stream_user_data(session, stream);
  if (latencyCount == latencyRoom) {
    latencyRoom = latencyRoom ? latencyRoom * 2 : 1 << 20;
    latencies = realloc(latencies, latencyRoom * sizeof *latencies);
  }
  latencies[latencyCount++] = (now() - client->begin) * 1e6;
  underWay--;
  int isGranted = client->isGranted && !code;
  if (isGranted) {
    if (client->step == 0) client->granted++;
    steps[client->step].granted++;
  } else if (client->isRefused) {
    refused++;
  } else if (!failed++) {
    fprintf(stderr, "load: the first request that failed, stream error %u: %.*s\n", code, (int)client->answerBytes,
            client->answer);
  }
  client->step = isGranted ? (client->step + 1) % stepCount : 0;
  ask(client);
  return 0;
}

static void connectTo(Connection *connection, int port, nghttp2_session_callbacks *callbacks) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection->socket = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection->socket, (void *)&address, sizeof address)) fail("cannot connect");
  int yes = 1;
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  fcntl(connection->socket, F_SETFL, O_NONBLOCK);
  nghttp2_session_client_new(&connection->session, callbacks, connection);
  nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, NULL, 0);
  nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
}

static void transmit(Connection *connection) {
  for (;;) {
    if (!connection->unsentBytes) {
      ssize_t count = nghttp2_session_mem_send(connection->session, &connection->unsent);
      if (count < 0) fail("nghttp2 cannot send");
      if (count == 0) return;
      connection->unsentBytes = count;
    }
    ssize_t count = send(connection->socket, connection->unsent, connection->unsentBytes, MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) fail("cannot send");
    connection->unsent += count;
    connection->unsentBytes -= count;
  }
}

// Returns whether there may be more.
static int receive(Connection *connection) {
  static uint8_t buffer[1 << 16];
  ssize_t count = recv(connection->socket, buffer, sizeof buffer, 0);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count < 0) fail("cannot receive");
  if (count == 0) fail("the server has closed a connection");
  if (nghttp2_session_mem_recv(connection->session, buffer, count) < 0) fail("nghttp2 cannot read");
  return count == sizeof buffer;
}

static int byLength(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(double share) { return latencyCount ? latencies[(size_t)((latencyCount - 1) * share)] : 0; }

int main(int count, char **arguments) {
  if (count < 9) return fputs("load: see its source for the arguments\n", stderr), 2;
  int port = atoi(arguments[1]), connectionCount = atoi(arguments[2]), streams = atoi(arguments[3]);
  double seconds = atof(arguments[4]);
  keys = atol(arguments[5]);
  contentType = arguments[6];
  for (int at = 7; at + 1 < count && stepCount < STEPS_MAX; at += 2) readStep(arguments[at], arguments[at + 1]);
  srandom(getpid());

  nghttp2_session_callbacks *callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, onHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onClose);
  int clientCount = connectionCount * streams, poll = epoll_create1(0);
  Connection *connections = calloc(connectionCount, sizeof *connections);
  Client *clients = calloc(clientCount, sizeof *clients);
  for (int i = 0; i < connectionCount; i++) {
    connectTo(&connections[i], port, callbacks);
    // Edge-triggered: who is woken sends and receives what there is.
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &connections[i]};
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
  }
  double begin = now();
  end = begin + seconds;
  for (int i = 0; i < clientCount; i++) {
    clients[i].connection = &connections[i / streams];
    clients[i].number = i;
    ask(&clients[i]);
  }
  for (int i = 0; i < connectionCount; i++) transmit(&connections[i]);
  // What is under way at the end is waited for, and a server that answers nothing for long is not.
  while (underWay && now() < end + 30) {
    struct epoll_event events[64];
    int ready = epoll_wait(poll, events, 64, 1000);
    for (int i = 0; i < ready; i++) {
      Connection *connection = events[i].data.ptr;
      while (receive(connection)) transmit(connection);
      transmit(connection);
    }
  }

  double took = now() - begin;
  qsort(latencies, latencyCount, sizeof *latencies, byLength);
  long least = clients[0].granted;
  for (int i = 1; i < clientCount; i++)
    if (clients[i].granted < least) least = clients[i].granted;
  printf("{\"seconds\": %.6f, \"granted\": %ld, \"released\": %ld, \"refused\": %ld, \"failed\": %ld, "
         "\"unanswered\": %ld, \"least\": %ld, \"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f, \"max\": %.0f}\n",
         took, steps[0].granted, steps[1].granted, refused, failed, underWay, least, quantile(0.5), quantile(0.99),
         quantile(0.999), quantile(1));
  return 0;
}
