#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// What Swift cannot call of SQLite, or has no memory order for.

// The files of a connection as SQLite has them open, and the first page of the index of its log in
// the memory that all servers of the store share. Valid for as long as the connection is open.
struct csqlite_files {
  sqlite3_file *database;
  sqlite3_file *log;
  const volatile uint8_t *index;
};

// False where the connection is not in WAL mode, or its file system has no shared memory.
static inline bool csqlite_get_files(sqlite3 *connection, struct csqlite_files *files) {
  volatile void *index = 0;
  if (sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &files->database) ||
      sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &files->log))
    return false;
  if (!files->database || !files->database->pMethods) return false;
  if (files->database->pMethods->iVersion < 2) return false;
  if (!files->log || !files->log->pMethods) return false;
  if (files->database->pMethods->xShmMap(files->database, 0, 32768, 0, &index)) return false;
  files->index = (const volatile uint8_t *)index;
  return index != 0;
}

// What the index says: https://sqlite.org/walformat.html, section 2.1 and 2.2.
struct csqlite_index {
  // Committed pages in the log, how many of them were copied into the database, and up to which they
  // are being copied.
  uint32_t frames, copied, copying;
  // The database as of the last of them.
  uint32_t pages, page_bytes;
  // What the log itself begins with, from its 17th byte on.
  uint32_t salts[2];
  // Whether the checksums in the log are over numbers as this machine has them in memory.
  bool has_native_checksums;
};

// False while somebody writes it, and where it is of a format that is not known here.
static inline bool csqlite_read_index(const volatile uint8_t *page, struct csqlite_index *index) {
  uint32_t first[12], second[12];
  // Whoever writes it begins with the second copy.
  memcpy(first, (const void *)page, sizeof first);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  index->copied = __atomic_load_n((const volatile uint32_t *)(page + 96), __ATOMIC_ACQUIRE);
  index->copying = __atomic_load_n((const volatile uint32_t *)(page + 128), __ATOMIC_ACQUIRE);
  memcpy(second, (const void *)(page + 48), sizeof second);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  bool is_initialized = first[3] & 0xff;
  if (first[0] != 3007000 || memcmp(first, second, sizeof first) || !is_initialized) return false;
  uint16_t page_bytes;
  memcpy(&page_bytes, (const uint8_t *)first + 14, sizeof page_bytes);
  // 65,536 does not fit: its lowest bit stands for it.
  index->page_bytes = page_bytes == 1 ? 65536 : page_bytes;
  index->frames = first[4];
  index->pages = first[5];
  index->salts[0] = first[8];
  index->salts[1] = first[9];
  bool is_big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
  index->has_native_checksums = (bool)((const uint8_t *)first)[13] == is_big_endian;
  return true;
}

// The length of a file in bytes; negative where that cannot be told.
static inline int64_t csqlite_bytes(sqlite3_file *file) {
  sqlite3_int64 bytes = 0;
  return file->pMethods->xFileSize(file, &bytes) == SQLITE_OK ? bytes : -1;
}

// Whether the log begins as its index says; also where that cannot be read.
static inline bool csqlite_log_begins_with(sqlite3_file *log, struct csqlite_index index) {
  uint32_t salts[2];
  switch (log->pMethods->xRead(log, salts, sizeof salts, 16)) {
  case SQLITE_OK: return !memcmp(salts, index.salts, sizeof salts);
  case SQLITE_IOERR_SHORT_READ: return false;
  default: return true;
  }
}

static inline uint32_t csqlite_from_big_endian(uint32_t number) {
  return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? number : __builtin_bswap32(number);
}

static inline void csqlite_add_to_checksum(
    uint32_t sums[2], const uint32_t *words, uint32_t count) {
  for (uint32_t word = 0; word < count; word += 2) {
    sums[0] += words[word] + sums[1];
    sums[1] += words[word + 1] + sums[0];
  }
}

// Whether a frame (a page of the log with what stands before it), counted from 1, is one of this
// log; and if it is the last of a commit, whether all of it is what was written. Also where that
// cannot be read. https://sqlite.org/fileformat2.html, section 4.1 and 4.2.
static inline bool csqlite_frame_is_sound(
    sqlite3_file *log, struct csqlite_index index, uint32_t frame) {
  int64_t frame_bytes = 24 + (int64_t)index.page_bytes;
  int64_t place = 32 + (int64_t)(frame - 1) * frame_bytes;
  // What stands before the page and the first part of it in one call.
  enum { part_words_max = 1024 };
  uint32_t header[6 + part_words_max], sums[2];
  uint32_t *words = header + 6;
  // The bytes of a page are a power of two.
  uint32_t part_words = index.page_bytes / 4;
  if (part_words > part_words_max) part_words = part_words_max;
  int part_bytes = (int)part_words * 4;
  int code = log->pMethods->xRead(log, header, 24 + part_bytes, place);
  if (code != SQLITE_OK) return code != SQLITE_IOERR_SHORT_READ;
  if (memcmp(header + 2, index.salts, sizeof index.salts)) return false;
  bool ends_commit = header[1];
  if (!ends_commit || !index.has_native_checksums) return true;
  // The checksum goes on from the one before, which is in the header of the log for the first.
  int64_t sums_place = frame == 1 ? 24 : place - frame_bytes + 16;
  code = log->pMethods->xRead(log, sums, sizeof sums, sums_place);
  if (code != SQLITE_OK) return code != SQLITE_IOERR_SHORT_READ;
  sums[0] = csqlite_from_big_endian(sums[0]);
  sums[1] = csqlite_from_big_endian(sums[1]);
  csqlite_add_to_checksum(sums, header, 2);
  csqlite_add_to_checksum(sums, words, part_words);
  for (int64_t done = part_bytes; done < index.page_bytes; done += part_bytes) {
    code = log->pMethods->xRead(log, words, part_bytes, place + 24 + done);
    if (code != SQLITE_OK) return code != SQLITE_IOERR_SHORT_READ;
    csqlite_add_to_checksum(sums, words, part_words);
  }
  return sums[0] == csqlite_from_big_endian(header[4])
      && sums[1] == csqlite_from_big_endian(header[5]);
}

// How many pages the connection has written within transactions, because they did not fit into its
// memory.
static inline int csqlite_spills(sqlite3 *connection) {
  int spills = 0, highest = 0;
  sqlite3_db_status(connection, SQLITE_DBSTATUS_CACHE_SPILL, &spills, &highest, 0);
  return spills;
}

static inline void csqlite_empty(sqlite3_file *file) { file->pMethods->xTruncate(file, 0); }

// The last connection that is closed copies the log into the database, unless it was told not to.
static inline void csqlite_leave_log(sqlite3 *connection) {
  sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}
