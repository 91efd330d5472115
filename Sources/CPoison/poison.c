#include "CPoison.h"

#if __has_feature(address_sanitizer)

#include <stdint.h>
#include <string.h>

#define UNCHECKED __attribute__((no_sanitize("address")))

// Negative while nothing is filled. Read by every thread that allocates.
static _Atomic int filling = -1;

void CPoison_fill(int byte) { filling = byte & 0xFF; }

void CPoison_stop(void) { filling = -1; }

// AddressSanitizer has its own allocator, which calls this for every block. Blocks beyond its size
// classes are left alone: they are fresh from the kernel, and calloc relies on that.
UNCHECKED void __sanitizer_malloc_hook(const volatile void *block, size_t size) {
    int byte = filling;
    if (byte >= 0 && size <= 1 << 17) memset((void *)block, byte, size);
}

size_t __sanitizer_get_current_allocated_bytes(void);

size_t CPoison_heap(void) { return __sanitizer_get_current_allocated_bytes(); }

UNCHECKED void __sanitizer_free_hook(const volatile void *block) { (void)block; }

#else

#include <malloc.h>

void CPoison_fill(int byte) { mallopt(M_PERTURB, ~byte & 0xFF); }

void CPoison_stop(void) { mallopt(M_PERTURB, 0); }

size_t CPoison_heap(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

#endif
