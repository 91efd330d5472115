#include "CFuzzer.h"

#include <string.h>

#define UNCHECKED __attribute__((no_sanitize("address", "coverage")))

static uint8_t filling = 0xA5;
static uint64_t work = 0;

void CFuzzer_fill(uint8_t byte) { filling = byte; }
uint64_t CFuzzer_work(void) { return work; }

// AddressSanitizer calls this for every block. Blocks beyond its size classes are left alone: they
// are fresh from the kernel, and calloc relies on that.
UNCHECKED void __sanitizer_malloc_hook(const volatile void *block, size_t size) {
    if (size <= 1 << 17) memset((void *)block, filling, size);
}

UNCHECKED void __sanitizer_free_hook(const volatile void *block) { (void)block; }

// The linker leads calls of the instrumented code here (--wrap). Each goes on as a jump, because
// libFuzzer wants to know who called.
#define COUNTED(name, type)                                                                        \
    void __real_##name(type, type);                                                                \
    UNCHECKED void __wrap_##name(type a, type b) {                                                 \
        work += 1;                                                                         \
        __attribute__((musttail)) return __real_##name(a, b);                                      \
    }

COUNTED(__sanitizer_cov_trace_cmp1, uint8_t)
COUNTED(__sanitizer_cov_trace_cmp2, uint16_t)
COUNTED(__sanitizer_cov_trace_cmp4, uint32_t)
COUNTED(__sanitizer_cov_trace_cmp8, uint64_t)
COUNTED(__sanitizer_cov_trace_const_cmp1, uint8_t)
COUNTED(__sanitizer_cov_trace_const_cmp2, uint16_t)
COUNTED(__sanitizer_cov_trace_const_cmp4, uint32_t)
COUNTED(__sanitizer_cov_trace_const_cmp8, uint64_t)

void __real_CGalois_multiply_add(int, uint8_t *, const uint8_t *, size_t, uint8_t);
UNCHECKED void __wrap_CGalois_multiply_add(
    int kernel, uint8_t *target, const uint8_t *source, size_t count, uint8_t factor) {
    work += 1 + count / 8;
    __real_CGalois_multiply_add(kernel, target, source, count, factor);
}
