#ifndef C_POISON_H
#define C_POISON_H

#include <stddef.h>

/// From now on the allocator fills new memory with `byte` (and, in glibc, freed memory with its
/// complement), so that what nobody wrote can be told from what somebody did. For tests; glibc or
/// AddressSanitizer.
void CPoison_fill(int byte);

/// New memory holds whatever it held before, as usual.
void CPoison_stop(void);

/// Bytes that the process holds from the allocator.
size_t CPoison_heap(void);

#endif
