#pragma once

#include <stddef.h>
#include <stdint.h>

/// Bytes that are allocated now, as AddressSanitizer's allocator counts them.
size_t __sanitizer_get_current_allocated_bytes(void);

/// Has every new block of up to 128 KiB filled with `byte`.
void CFuzzer_fill(uint8_t byte);

/// Units of work since the start: comparisons of the instrumented code, and bytes that the kernels
/// of CGalois touched, by eights. The same input always costs the same.
uint64_t CFuzzer_work(void);
