#ifndef C_POISON_H
#define C_POISON_H

#include <malloc.h>

/// From now on the allocator fills new memory with `byte` (and freed memory with its complement),
/// so that what nobody wrote can be told from what somebody did. For tests; glibc only.
static inline void CPoison_fill(int byte) { mallopt(M_PERTURB, ~byte & 0xFF); }

/// New memory holds whatever it held before, as usual.
static inline void CPoison_stop(void) { mallopt(M_PERTURB, 0); }

#endif
