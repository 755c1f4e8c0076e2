#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

#include "one_row.h"

static MYSQL connection;

// PORT/DATABASE of this machine.
void openDatabase(const char *address) {
  char *rest;
  unsigned port = strtoul(address, &rest, 10);
  mysql_init(&connection);
  if (mysql_real_connect(&connection, "127.0.0.1", "latchkey", "", rest + 1, port, NULL, 0)) return;
  fprintf(stderr, "one_row: %s\n", mysql_error(&connection));
  exit(1);
}

int perform(const char *statement) {
  if (mysql_query(&connection, statement)) return 0;
  MYSQL_RES *result = mysql_store_result(&connection);
  if (result) mysql_free_result(result);
  return 1;
}
