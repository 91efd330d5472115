#include "kernels.h"

CGalois_table_set CGalois_tables;

static CGalois_kernel best_kernel = CGalois_portable;

// The schoolbook product: shift, reduce, add.
static uint8_t slow_product(uint8_t a, uint8_t b) {
    uint8_t sum = 0;
    while (b != 0) {
        if (b & 1) { sum ^= a; }
        a = (uint8_t)((a << 1) ^ ((a & 0x80) ? 0x1d : 0));
        b >>= 1;
    }
    return sum;
}

// Row i of the matrix makes bit i of the result and sits in byte 7 - i (Intel SDM, GF2P8AFFINEQB).
static uint64_t affine_matrix(const uint8_t products[256]) {
    uint64_t matrix = 0;
    for (int bit = 0; bit < 8; bit++) {
        for (int input = 0; input < 8; input++) {
            uint64_t isSet = (products[1 << input] >> bit) & 1;
            matrix |= isSet << ((7 - bit) * 8 + input);
        }
    }
    return matrix;
}

__attribute__((constructor)) static void prepare(void) {
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            uint8_t product = slow_product((uint8_t)a, (uint8_t)b);
            CGalois_tables.products[a][b] = product;
            if (product == 1) { CGalois_tables.inverses[a] = (uint8_t)b; }
        }
        for (int n = 0; n < 16; n++) {
            CGalois_tables.nibbles[a][n] = CGalois_tables.products[a][n];
            CGalois_tables.nibbles[a][16 + n] = CGalois_tables.products[a][n << 4];
        }
        CGalois_tables.matrices[a] = affine_matrix(CGalois_tables.products[a]);
    }
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    for (int kernel = 0; kernel < CGalois_kernel_count; kernel++) {
        if (CGalois_supports((CGalois_kernel)kernel)) { best_kernel = (CGalois_kernel)kernel; }
    }
}

CGalois_kernel CGalois_best(void) { return best_kernel; }

int CGalois_supports(CGalois_kernel kernel) {
    switch (kernel) {
    case CGalois_portable: return 1;
#if defined(__x86_64__)
    case CGalois_ssse3: return __builtin_cpu_supports("ssse3") != 0;
    case CGalois_avx2: return __builtin_cpu_supports("avx2") != 0;
    case CGalois_gfni:
        return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("gfni") != 0;
    case CGalois_gfni512:
        return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0
            && CGalois_supports(CGalois_gfni);
#elif defined(__aarch64__)
    case CGalois_neon: return 1;
#endif
    default: return 0;
    }
}

uint8_t CGalois_multiply(uint8_t a, uint8_t b) { return CGalois_tables.products[a][b]; }

uint8_t CGalois_inverse(uint8_t a) { return CGalois_tables.inverses[a]; }

static CGalois_fused fused(CGalois_kernel kernel) {
    switch (kernel) {
#if defined(__x86_64__)
    case CGalois_ssse3: return CGalois_fused_ssse3;
    case CGalois_avx2: return CGalois_fused_avx2;
    case CGalois_gfni: return CGalois_fused_gfni;
    case CGalois_gfni512: return CGalois_fused_gfni512;
#elif defined(__aarch64__)
    case CGalois_neon: return CGalois_fused_neon;
#endif
    default: return CGalois_fused_portable;
    }
}

void CGalois_multiply_add(
    CGalois_kernel kernel, uint8_t *target, const uint8_t *source, size_t count, uint8_t factor) {
    if (factor == 0) { return; }
    CGalois_job job = {&factor, 1, 1, &source, &target, count, 1};
    fused(kernel)(&job, 1);
}

void CGalois_combine(
    CGalois_kernel kernel, const uint8_t *factors, size_t inputs, size_t outputs,
    const uint8_t *const *sources, uint8_t *const *targets, size_t count, int adds) {
    CGalois_fused run = fused(kernel);
    for (size_t first = 0; first < outputs; first += CGalois_fused_limit) {
        size_t left = outputs - first;
        CGalois_job job = {
            factors + first * inputs, inputs, inputs, sources, targets + first, count, adds};
        run(&job, left < CGalois_fused_limit ? left : CGalois_fused_limit);
    }
}

void CGalois_fused_portable(const CGalois_job *job, size_t outputs) {
    for (size_t o = 0; o < outputs; o++) {
        uint8_t *target = job->targets[o];
        for (size_t i = 0; i < job->inputs; i++) {
            const uint8_t *row = CGalois_tables.products[job->factors[o * job->stride + i]];
            const uint8_t *source = job->sources[i];
            if (i == 0 && !job->adds) {
                for (size_t at = 0; at < job->count; at++) { target[at] = row[source[at]]; }
            } else {
                for (size_t at = 0; at < job->count; at++) { target[at] ^= row[source[at]]; }
            }
        }
        if (job->inputs == 0 && !job->adds) {
            for (size_t at = 0; at < job->count; at++) { target[at] = 0; }
        }
    }
}
