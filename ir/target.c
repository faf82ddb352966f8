/* target.c: what passes and templates know of a machine, as one table.
 *
 * The names are the x86-64 psABI micro-architecture levels; `features` are LLVM's spellings and
 * what an artifact checks at load.  The baseline has no fma: a separate numeric class (design:
 * Numbers).  Its 16-byte vectors are SSE registers. Source: x86-64 psABI, section 3.1.1, table 3.1.
 * Cache sizes are the smallest common ones, not the build host's.
 */
#include <string.h>

#include "ir.h"

#define LINUX_X86 "x86_64-unknown-linux-gnu"
#define LEVEL2    "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
#define LEVEL3    LEVEL2 ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
#define LEVEL4    LEVEL3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

const Target targets[] = {
    {.name = "x86-64",
     .triple = LINUX_X86,
     .features = "+sse2",
     .vector_bytes = 16,
     .vector_registers = 16,
     .fma = false,
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20},
    {.name = "x86-64-v3",
     .triple = LINUX_X86,
     .features = LEVEL3,
     .vector_bytes = 32,
     .vector_registers = 16,
     .fma = true,
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20},
    {.name = "x86-64-v4",
     .triple = LINUX_X86,
     .features = LEVEL4,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20},
};
const uint32_t n_targets = COUNT(targets);

const Target *target_find(const char *name) {
    for (uint32_t i = 0; i < n_targets; i++)
        if (strcmp(targets[i].name, name) == 0)
            return &targets[i];
    return NULL;
}
