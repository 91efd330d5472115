#ifndef CMALLOCCOUNT_H
#define CMALLOCCOUNT_H

#include <stdint.h>

/// How often this process has asked for memory: malloc, calloc, realloc and the aligned kinds.
///
/// Linking this module replaces those functions by ones that count and then do the same.
uint64_t CMallocCount_total(void);

#endif
