#if defined(__aarch64__)

#include "kernels.h"

#include <arm_neon.h>
#include <string.h>

// One column of 16 bytes, all inputs and all outputs; see x86.c for the shape.
static inline __attribute__((always_inline)) void
column_neon(const CGalois_job *job, size_t outputs, size_t at, size_t width) {
    const uint8x16_t low_half = vdupq_n_u8(0x0f);
    uint8x16_t sums[4];
    uint8_t block[16] = {0};
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        if (width != 16) { memcpy(block, job->targets[o] + at, width); }
        const uint8_t *from = width == 16 ? job->targets[o] + at : block;
        sums[o] = job->adds ? vld1q_u8(from) : vdupq_n_u8(0);
    }
    for (size_t i = 0; i < job->inputs; i++) {
        const uint8_t *from = job->sources[i] + at;
        if (width != 16) { from = memcpy(block, from, width); }
        uint8x16_t bytes = vld1q_u8(from);
        uint8x16_t low = vandq_u8(bytes, low_half);
        uint8x16_t high = vshrq_n_u8(bytes, 4);
#pragma clang loop unroll(full)
        for (size_t o = 0; o < outputs; o++) {
            const uint8_t *rows = CGalois_tables.nibbles[job->factors[o * job->stride + i]];
            sums[o] = veorq_u8(sums[o], vqtbl1q_u8(vld1q_u8(rows), low));
            sums[o] = veorq_u8(sums[o], vqtbl1q_u8(vld1q_u8(rows + 16), high));
        }
    }
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        vst1q_u8(width == 16 ? job->targets[o] + at : block, sums[o]);
        if (width != 16) { memcpy(job->targets[o] + at, block, width); }
    }
}

#define NEON(job, outputs)                                              \
    do {                                                                \
        size_t at = 0;                                                  \
        for (; at + 16 <= (job)->count; at += 16) {                     \
            column_neon(job, outputs, at, 16);                          \
        }                                                               \
        if (at < (job)->count) {                                        \
            column_neon(job, outputs, at, (job)->count - at);           \
        }                                                               \
    } while (0)

void CGalois_fused_neon(const CGalois_job *job, size_t outputs) {
    CGALOIS_DISPATCH_OUTPUTS(NEON, job, outputs)
}

#endif
