#if defined(__x86_64__)

#include "kernels.h"

#include <immintrin.h>
#include <string.h>

// Each kernel is one column of 64 bytes, all inputs and all outputs, with the sums in registers.
// `width` is 64 but for the last column of a buffer, whose bytes go through a block on the stack.
// The constants fold when the column is inlined, which is why it must be.
#define COLUMN(features) static inline __attribute__((always_inline, target(features))) void

COLUMN("ssse3") column_ssse3(const CGalois_job *job, size_t outputs, size_t at, size_t width) {
    const __m128i low_half = _mm_set1_epi8(0x0f);
    __m128i sums[4];
    uint8_t block[16] = {0};
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        if (width != 16) { memcpy(block, job->targets[o] + at, width); }
        const uint8_t *from = width == 16 ? job->targets[o] + at : block;
        sums[o] = job->adds ? _mm_loadu_si128((const __m128i *)from) : _mm_setzero_si128();
    }
    for (size_t i = 0; i < job->inputs; i++) {
        const uint8_t *from = job->sources[i] + at;
        if (width != 16) { from = memcpy(block, from, width); }
        __m128i bytes = _mm_loadu_si128((const __m128i *)from);
        __m128i low = _mm_and_si128(bytes, low_half);
        __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), low_half);
#pragma clang loop unroll(full)
        for (size_t o = 0; o < outputs; o++) {
            const uint8_t *rows = CGalois_tables.nibbles[job->factors[o * job->stride + i]];
            __m128i low_row = _mm_load_si128((const __m128i *)rows);
            __m128i high_row = _mm_load_si128((const __m128i *)(rows + 16));
            sums[o] = _mm_xor_si128(sums[o], _mm_shuffle_epi8(low_row, low));
            sums[o] = _mm_xor_si128(sums[o], _mm_shuffle_epi8(high_row, high));
        }
    }
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        uint8_t *into = width == 16 ? job->targets[o] + at : block;
        _mm_storeu_si128((__m128i *)into, sums[o]);
        if (width != 16) { memcpy(job->targets[o] + at, block, width); }
    }
}

COLUMN("avx2") column_avx2(const CGalois_job *job, size_t outputs, size_t at, size_t width) {
    const __m256i low_half = _mm256_set1_epi8(0x0f);
    __m256i sums[4][2];
    uint8_t block[64] = {0};
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        if (width != 64) { memcpy(block, job->targets[o] + at, width); }
        const uint8_t *from = width == 64 ? job->targets[o] + at : block;
        for (int half = 0; half < 2; half++) {
            sums[o][half] = job->adds ? _mm256_loadu_si256((const __m256i *)(from + half * 32))
                                      : _mm256_setzero_si256();
        }
    }
    for (size_t i = 0; i < job->inputs; i++) {
        const uint8_t *from = job->sources[i] + at;
        if (width != 64) { from = memcpy(block, from, width); }
        __m256i first = _mm256_loadu_si256((const __m256i *)from);
        __m256i second = _mm256_loadu_si256((const __m256i *)(from + 32));
        __m256i low[2], high[2];
        low[0] = _mm256_and_si256(first, low_half);
        high[0] = _mm256_and_si256(_mm256_srli_epi16(first, 4), low_half);
        low[1] = _mm256_and_si256(second, low_half);
        high[1] = _mm256_and_si256(_mm256_srli_epi16(second, 4), low_half);
#pragma clang loop unroll(full)
        for (size_t o = 0; o < outputs; o++) {
            const uint8_t *rows = CGalois_tables.nibbles[job->factors[o * job->stride + i]];
            __m256i low_row = _mm256_broadcastsi128_si256(*(const __m128i *)rows);
            __m256i high_row = _mm256_broadcastsi128_si256(*(const __m128i *)(rows + 16));
            for (int half = 0; half < 2; half++) {
                __m256i product = _mm256_xor_si256(
                    _mm256_shuffle_epi8(low_row, low[half]),
                    _mm256_shuffle_epi8(high_row, high[half]));
                sums[o][half] = _mm256_xor_si256(sums[o][half], product);
            }
        }
    }
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        uint8_t *into = width == 64 ? job->targets[o] + at : block;
        _mm256_storeu_si256((__m256i *)into, sums[o][0]);
        _mm256_storeu_si256((__m256i *)(into + 32), sums[o][1]);
        if (width != 64) { memcpy(job->targets[o] + at, block, width); }
    }
}

COLUMN("avx2,gfni") column_gfni(const CGalois_job *job, size_t outputs, size_t at, size_t width) {
    __m256i sums[4][2];
    uint8_t block[64] = {0};
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        if (width != 64) { memcpy(block, job->targets[o] + at, width); }
        const uint8_t *from = width == 64 ? job->targets[o] + at : block;
        for (int half = 0; half < 2; half++) {
            sums[o][half] = job->adds ? _mm256_loadu_si256((const __m256i *)(from + half * 32))
                                      : _mm256_setzero_si256();
        }
    }
    for (size_t i = 0; i < job->inputs; i++) {
        const uint8_t *from = job->sources[i] + at;
        if (width != 64) { from = memcpy(block, from, width); }
        __m256i first = _mm256_loadu_si256((const __m256i *)from);
        __m256i second = _mm256_loadu_si256((const __m256i *)(from + 32));
#pragma clang loop unroll(full)
        for (size_t o = 0; o < outputs; o++) {
            uint8_t factor = job->factors[o * job->stride + i];
            __m256i matrix = _mm256_set1_epi64x((long long)CGalois_tables.matrices[factor]);
            sums[o][0] = _mm256_xor_si256(
                sums[o][0], _mm256_gf2p8affine_epi64_epi8(first, matrix, 0));
            sums[o][1] = _mm256_xor_si256(
                sums[o][1], _mm256_gf2p8affine_epi64_epi8(second, matrix, 0));
        }
    }
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        uint8_t *into = width == 64 ? job->targets[o] + at : block;
        _mm256_storeu_si256((__m256i *)into, sums[o][0]);
        _mm256_storeu_si256((__m256i *)(into + 32), sums[o][1]);
        if (width != 64) { memcpy(job->targets[o] + at, block, width); }
    }
}

COLUMN("avx512f,avx512bw,gfni")
column_gfni512(const CGalois_job *job, size_t outputs, size_t at, size_t width) {
    // Bytes past the end of the buffers are neither read nor written.
    const __mmask64 first_lanes = width >= 64 ? ~0ull : (1ull << width) - 1;
    const __mmask64 second_lanes = width == 128 ? ~0ull
        : width <= 64                           ? 0
                                                : (1ull << (width - 64)) - 1;
    __m512i sums[4][2];
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        const uint8_t *from = job->targets[o] + at;
        sums[o][0] = job->adds ? _mm512_maskz_loadu_epi8(first_lanes, from)
                               : _mm512_setzero_si512();
        sums[o][1] = job->adds ? _mm512_maskz_loadu_epi8(second_lanes, from + 64)
                               : _mm512_setzero_si512();
    }
    for (size_t i = 0; i < job->inputs; i++) {
        const uint8_t *from = job->sources[i] + at;
        __m512i first = _mm512_maskz_loadu_epi8(first_lanes, from);
        __m512i second = _mm512_maskz_loadu_epi8(second_lanes, from + 64);
#pragma clang loop unroll(full)
        for (size_t o = 0; o < outputs; o++) {
            uint8_t factor = job->factors[o * job->stride + i];
            __m512i matrix = _mm512_set1_epi64((long long)CGalois_tables.matrices[factor]);
            sums[o][0] = _mm512_xor_si512(
                sums[o][0], _mm512_gf2p8affine_epi64_epi8(first, matrix, 0));
            sums[o][1] = _mm512_xor_si512(
                sums[o][1], _mm512_gf2p8affine_epi64_epi8(second, matrix, 0));
        }
    }
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outputs; o++) {
        _mm512_mask_storeu_epi8(job->targets[o] + at, first_lanes, sums[o][0]);
        _mm512_mask_storeu_epi8(job->targets[o] + at + 64, second_lanes, sums[o][1]);
    }
}

#define COLUMNS(column, size, job, outputs)                             \
    do {                                                                \
        size_t at = 0;                                                  \
        for (; at + size <= (job)->count; at += size) {                 \
            column(job, outputs, at, size);                             \
        }                                                               \
        if (at < (job)->count) {                                        \
            column(job, outputs, at, (job)->count - at);                \
        }                                                               \
    } while (0)

#define SSSE3(job, outputs) COLUMNS(column_ssse3, 16, job, outputs)
#define AVX2(job, outputs) COLUMNS(column_avx2, 64, job, outputs)
#define GFNI(job, outputs) COLUMNS(column_gfni, 64, job, outputs)
#define GFNI512(job, outputs) COLUMNS(column_gfni512, 128, job, outputs)

__attribute__((target("ssse3"))) void CGalois_fused_ssse3(const CGalois_job *job, size_t outputs) {
    CGALOIS_DISPATCH_OUTPUTS(SSSE3, job, outputs)
}

// Dirty upper halves of the vector registers would slow down whatever runs SSE code next.
__attribute__((target("avx2"))) void CGalois_fused_avx2(const CGalois_job *job, size_t outputs) {
    CGALOIS_DISPATCH_OUTPUTS(AVX2, job, outputs)
    _mm256_zeroupper();
}

__attribute__((target("avx2,gfni"))) void
CGalois_fused_gfni(const CGalois_job *job, size_t outputs) {
    CGALOIS_DISPATCH_OUTPUTS(GFNI, job, outputs)
    _mm256_zeroupper();
}

__attribute__((target("avx512f,avx512bw,gfni"))) void
CGalois_fused_gfni512(const CGalois_job *job, size_t outputs) {
    CGALOIS_DISPATCH_OUTPUTS(GFNI512, job, outputs)
    _mm256_zeroupper();
}

#endif
