/* amx_emulator.h: lets tests run machine code with AMX-BF16 on a Linux machine without it.
 *
 * The instructions of AMX are invalid there: a handler of SIGILL reads them at the place of the fault, does what the manual
 * says they do to tiles of the thread, and goes on behind them.  Written from the manual alone and not from what the compiler
 * believes, as its judge: configurations other than the compiler's work as well, and faults of the manual are faults here.
 * Where the CPU has AMX the code runs as it is.
 * Source: Intel SDM 2A 2.3 (VEX), 2.1.5 (SIB); 2B-2D LDTILECFG, TILERELEASE, TILEZERO, TILELOADD, TILESTORED, TDPBF16PS.
 */
#pragma once
#include <cpuid.h>
#include <immintrin.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

typedef struct AmxTile { uint8_t row[16][64]; } AmxTile;
typedef struct AmxState {
    bool on;
    uint8_t rows[8];
    uint16_t row_bytes[8];
    AmxTile tile[8];
} AmxState;
static _Thread_local AmxState amx;
static uint64_t amx_count[256]; /* instructions done, by opcode; for tests of one thread */

/* ---- what instructions do ----------------------------------------------------------------------------------------------- */

static bool amx_configure(const uint8_t *at) {
    memset(&amx, 0, sizeof amx);
    if (at[0] != 1) return at[0] == 0;
    for (int i = 1; i < 64; i++) {
        bool used = (i >= 16 && i < 32) || (i >= 48 && i < 56);
        if (!used && at[i]) return false; /* a start row is for interrupted loads */
    }
    for (int t = 0; t < 8; t++) {
        memcpy(&amx.row_bytes[t], at + 16 + 2 * t, 2);
        amx.rows[t] = at[48 + t];
        if (amx.rows[t] > 16 || amx.row_bytes[t] > 64 || !amx.rows[t] != !amx.row_bytes[t]) return false;
    }
    return amx.on = true;
}

static float amx_element(const AmxTile *t, uint32_t row, uint32_t half) {
    uint32_t bits = 0;
    float x;
    memcpy((char *)&bits + 2, &t->row[row][2 * half], 2);
    memcpy(&x, &bits, 4);
    return x;
}

/* Under DAZ and FTZ the CPU's own fma and addition are those of the manual. */
static float amx_fma(float x, float y, float z) {
    __m128 r = _mm_set_ss(x);
    __asm__ volatile("vfmadd213ss %2, %1, %0" : "+x"(r) : "x"(_mm_set_ss(y)), "x"(_mm_set_ss(z)));
    return _mm_cvtss_f32(r);
}

static float amx_add(float x, float y) {
    __m128 r = _mm_set_ss(x);
    __asm__ volatile("vaddss %1, %0, %0" : "+x"(r) : "x"(_mm_set_ss(y)));
    return _mm_cvtss_f32(r);
}

static bool amx_dot_bf16(uint32_t c, uint32_t a, uint32_t b) {
    if (!amx.on || c == a || c == b || a == b || c > 7 || a > 7 || b > 7) return false;
    if (amx.rows[c] != amx.rows[a] || amx.row_bytes[a] % 4 || amx.row_bytes[a] / 4 != amx.rows[b]) return false;
    if (amx.row_bytes[b] != amx.row_bytes[c] || amx.row_bytes[c] % 4 || !amx.rows[c]) return false;
    uint32_t mode = _mm_getcsr();
    _mm_setcsr(0x1f80 | 0x8040);
    for (uint32_t m = 0; m < amx.rows[c]; m++) {
        float temp[32] = {0}, sum[16];
        memcpy(sum, amx.tile[c].row[m], sizeof sum);
        for (uint32_t k = 0; k < amx.row_bytes[a] / 4u; k++)
            for (uint32_t n = 0; n < amx.row_bytes[c] / 2u; n++)
                temp[n] = amx_fma(amx_element(&amx.tile[a], m, 2 * k + n % 2), amx_element(&amx.tile[b], k, n), temp[n]);
        for (uint32_t n = 0; n < amx.row_bytes[c] / 4u; n++) sum[n] = amx_add(sum[n], amx_add(temp[2 * n], temp[2 * n + 1]));
        memcpy(amx.tile[c].row[m], sum, amx.row_bytes[c]);
    }
    _mm_setcsr(mode);
    return true;
}

static bool amx_move(bool load, uint32_t t, uint8_t *at, int64_t stride) {
    if (!amx.on || t > 7 || !amx.rows[t]) return false;
    if (load) memset(&amx.tile[t], 0, sizeof amx.tile[t]);
    for (uint32_t r = 0; r < amx.rows[t]; r++, at += stride) {
        if (load) memcpy(amx.tile[t].row[r], at, amx.row_bytes[t]);
        else memcpy(at, amx.tile[t].row[r], amx.row_bytes[t]);
    }
    return true;
}

/* ---- how they are spelt ------------------------------------------------------------------------------------------------- */

typedef struct AmxAddress {
    uint8_t *base;
    int64_t stride;
    uint32_t bytes;
} AmxAddress; /* bytes of modrm, sib and displacement */

static int64_t amx_register(const greg_t *g, uint32_t n) {
    static const int place[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return g[place[n]];
}

/* at: modrm; x, b: the bits that VEX adds.  The index is no part of the base: for tiles it is the stride. */
static AmxAddress amx_address(const greg_t *g, const uint8_t *at, uint32_t x, uint32_t b) {
    uint32_t mod = at[0] >> 6, rm = at[0] & 7, base = rm | b << 3;
    AmxAddress a = {.bytes = 1};
    int64_t shift = 0;
    if (rm == 4) {
        uint32_t sib = at[a.bytes++], index = (sib >> 3 & 7) | x << 3;
        base = (sib & 7) | b << 3;
        if (index != 4) a.stride = (int64_t)((uint64_t)amx_register(g, index) << (sib >> 6));
    }
    bool none = mod == 0 && (base & 7) == 5;
    int32_t wide = 0;
    if (mod == 1) shift = (int8_t)at[a.bytes++];
    else if (mod == 2 || none) memcpy(&wide, at + a.bytes, 4), a.bytes += 4, shift = wide;
    int64_t from = !none ? amx_register(g, base) : rm == 5 ? g[REG_RIP] + 4 + a.bytes : 0; /* rip: of what follows */
    a.base = (uint8_t *)(uintptr_t)(from + shift);
    return a;
}

/* Does the instruction at rip and answers its length; 0: it is none of AMX, or faults. */
static uint32_t amx_step(const greg_t *g) {
    const uint8_t *at = (const uint8_t *)(uintptr_t)g[REG_RIP];
    if (at[0] != 0xc4 || (at[1] & 31) != 2 || at[2] & 0x84) return 0; /* three-byte VEX, map 0F38, W0, 128 bits */
    uint32_t r = !(at[1] >> 7), x = !(at[1] >> 6 & 1), b = !(at[1] >> 5 & 1), third = ~(uint32_t)at[2] >> 3 & 15,
             prefix = at[2] & 3;
    uint32_t opcode = at[3], modrm = at[4], reg = (modrm >> 3 & 7) | r << 3, rm = (modrm & 7) | b << 3;
    enum { NONE, P66, PF3, PF2 };
    bool memory = modrm >> 6 != 3, sib = memory && (modrm & 7) == 4, ok = false;
    AmxAddress a = memory ? amx_address(g, at + 4, x, b) : (AmxAddress){.bytes = 1};
    if (opcode != 0x5c && third) return 0;
    if (opcode == 0x49 && prefix == NONE && memory && reg == 0) ok = amx_configure(a.base);
    else if (opcode == 0x49 && prefix == NONE && modrm == 0xc0) memset(&amx, 0, sizeof amx), ok = true;
    else if (opcode == 0x49 && prefix == PF2 && !memory && (modrm & 7) == 0) {
        ok = amx.on && reg < 8 && amx.rows[reg];
        if (ok) memset(&amx.tile[reg], 0, sizeof amx.tile[reg]);
    } else if (opcode == 0x4b && (prefix == PF2 || prefix == PF3) && sib) ok = amx_move(prefix == PF2, reg, a.base, a.stride);
    else if (opcode == 0x5c && prefix == PF3 && !memory) ok = amx_dot_bf16(reg, rm, third);
    amx_count[opcode] += ok;
    return ok ? 4 + a.bytes : 0;
}

static void amx_fault(int signal, siginfo_t *info, void *context) {
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint32_t n = amx_step(g);
    (void)info;
    if (n) g[REG_RIP] += n;
    else (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* and again, for good */
}

/* Machine code with AMX-BF16 and AVX512-BF16 can run from now on, natively where *native; false: this CPU lacks the latter. */
static inline bool amx_prepare(bool *native) {
    unsigned eax, ebx, ecx, edx;
    enum { TILES = 1 << 24 | 1 << 22, PERMISSION = 0x1023, TILE_DATA = 18 };
    if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax >> 5 & 1) || !__builtin_cpu_supports("avx512vl"))
        return false;
    *native = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & TILES) == TILES &&
              syscall(SYS_arch_prctl, PERMISSION, TILE_DATA) == 0;
    struct sigaction act = {.sa_sigaction = amx_fault, .sa_flags = SA_SIGINFO};
    return *native || sigaction(SIGILL, &act, NULL) == 0;
}
