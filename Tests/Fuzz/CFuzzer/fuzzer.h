#pragma once
#include <stddef.h>
#include <stdint.h>

/// libFuzzer as a library: runs `callback` on inputs until a bound of the arguments is reached.
/// Source: compiler-rt, lib/fuzzer/FuzzerInterface.h.
int LLVMFuzzerRunDriver(
    int *argc, char ***argv, int (*callback)(const uint8_t *bytes, size_t count));
