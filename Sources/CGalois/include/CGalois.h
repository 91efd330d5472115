#ifndef C_GALOIS_H
#define C_GALOIS_H

// Arithmetic over GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), on whole buffers.
//
// Every function is pure: the tables and the choice of the best kernel are made once, before main,
// and only read afterwards. Buffers need no alignment and no padding; multiples of 64 bytes are
// fastest. A kernel may be asked for only where CGalois_supports says so.

#include <stddef.h>
#include <stdint.h>

typedef enum {
    CGalois_portable = 0,
    CGalois_ssse3 = 1,
    CGalois_avx2 = 2,
    CGalois_gfni = 3, // GFNI with 256-bit vectors
    CGalois_gfni512 = 4, // GFNI with 512-bit vectors
    CGalois_neon = 5
} CGalois_kernel;

enum { CGalois_kernel_count = 6 };

// The fastest kernel of this processor.
CGalois_kernel CGalois_best(void);

// Whether this processor and this build have the kernel.
int CGalois_supports(CGalois_kernel kernel);

uint8_t CGalois_multiply(uint8_t a, uint8_t b);

// The inverse of a; 0 for 0, which has none.
uint8_t CGalois_inverse(uint8_t a);

// target ^= factor * source. The two may be the same buffer, but must not overlap otherwise.
void CGalois_multiply_add(
    CGalois_kernel kernel, uint8_t *target, const uint8_t *source, size_t count, uint8_t factor);

// targets[o] = sum over i of factors[o * inputs + i] * sources[i], or ^= where adds is not zero.
// No target may overlap a source.
void CGalois_combine(
    CGalois_kernel kernel, const uint8_t *factors, size_t inputs, size_t outputs,
    const uint8_t *const *sources, uint8_t *const *targets, size_t count, int adds);

#endif
