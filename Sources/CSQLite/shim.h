#include <sqlite3.h>
#include <stdint.h>

// What SQLite has and Swift cannot call, or needs a few steps in C.

// The first page of the index of the log, as all servers of the store have it in their memory
// (https://sqlite.org/walformat.html, section 2); null where there is none. Valid for as long as the
// connection is open, and not to be touched while the file of the shared memory is shorter.
static inline const volatile uint8_t *csqlite_log_index(sqlite3 *connection) {
  sqlite3_file *file = 0;
  if (sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK) return 0;
  if (!file || !file->pMethods || file->pMethods->iVersion < 2) return 0;
  volatile void *index = 0;
  if (file->pMethods->xShmMap(file, 0, 32768, 0, &index) != SQLITE_OK) return 0;
  return (const volatile uint8_t *)index;
}

// How many bytes of the log the index says are in use.
static inline int64_t csqlite_log_bytes(const volatile uint8_t *index) {
  uint32_t frames = *(const volatile uint32_t *)(index + 16);
  uint32_t page = *(const volatile uint16_t *)(index + 14);
  // A page of 65,536 bytes does not fit: its lowest bit stands for it.
  if (page & 1) page = 65536;
  return frames == 0 ? 0 : 32 + (int64_t)frames * (page + 24);
}

// The last connection that is closed copies the log into the database, unless it was told not to.
static inline void csqlite_leave_log(sqlite3 *connection) {
  sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}
