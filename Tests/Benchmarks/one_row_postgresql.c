#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "one_row.h"

static PGconn *connection;

// A URI of libpq.
void openDatabase(const char *address) {
  connection = PQconnectdb(address);
  if (PQstatus(connection) == CONNECTION_OK) return;
  fprintf(stderr, "one_row: %s", PQerrorMessage(connection));
  exit(1);
}

int perform(const char *statement) {
  PGresult *result = PQexec(connection, statement);
  ExecStatusType status = PQresultStatus(result);
  PQclear(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}
