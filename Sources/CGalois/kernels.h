#ifndef C_GALOIS_KERNELS_H
#define C_GALOIS_KERNELS_H

#include "CGalois.h"

// Outputs a kernel holds in registers at once.
enum { CGalois_fused_limit = 4 };

// What one kernel is asked to do: up to CGalois_fused_limit outputs, factors in rows of `stride`.
typedef struct {
    const uint8_t *factors;
    size_t stride;
    size_t inputs;
    const uint8_t *const *sources;
    uint8_t *const *targets;
    size_t count;
    int adds;
} CGalois_job;

typedef void (*CGalois_fused)(const CGalois_job *job, size_t outputs);

void CGalois_fused_portable(const CGalois_job *job, size_t outputs);
void CGalois_fused_ssse3(const CGalois_job *job, size_t outputs);
void CGalois_fused_avx2(const CGalois_job *job, size_t outputs);
void CGalois_fused_gfni(const CGalois_job *job, size_t outputs);
void CGalois_fused_gfni512(const CGalois_job *job, size_t outputs);
void CGalois_fused_neon(const CGalois_job *job, size_t outputs);

// Filled before main, constant afterwards.
typedef struct {
    // products[a][b] = a * b
    uint8_t products[256][256];
    // nibbles[a][n] = a * n for the low half of a byte, nibbles[a][16 + n] = a * (n << 4).
    _Alignas(32) uint8_t nibbles[256][32];
    // Multiplication by a as the bit matrix that gf2p8affineqb takes.
    uint64_t matrices[256];
    uint8_t inverses[256];
} CGalois_table_set;

extern CGalois_table_set CGalois_tables __attribute__((visibility("hidden")));

// One function per number of outputs, so that the accumulators stay in registers.
#define CGALOIS_DISPATCH_OUTPUTS(body, job, outputs) \
    switch (outputs) {                               \
    case 1: body(job, 1); break;                     \
    case 2: body(job, 2); break;                     \
    case 3: body(job, 3); break;                     \
    default: body(job, 4); break;                    \
    }

#endif
