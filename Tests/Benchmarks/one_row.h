// A connection to a database, as much of it as one_row.c needs.
#pragma once

// Ends the program where there is none.
void openDatabase(const char *address);

// Returns whether it was done.
int perform(const char *statement);
