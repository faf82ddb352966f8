/* emit_c_tile.c: tile instructions of Loop IR as C.
 *
 * Where the compiler's target has AMX-BF16, the instructions themselves, as asm (the intrinsics of gcc 12 clobber no memory);
 * elsewhere an array of the function and what ir/loop_tile.c says they do, bit by bit.
 */
#include "emit_c.h"

static const char *const lines[] = {
    "#if defined(__AMX_BF16__) && defined(__GNUC__)",
    "#define TILES static const u8 tile_config[64] ALIGNED(64) = {1, [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, \\",
    "    [28] = 64, [30] = 64, [48] = 16, 16, 16, 16, 16, 16, 16, 16}",
    "#define tile_begin() __asm__ volatile(\"ldtilecfg %0\" : : \"m\"(tile_config))",
    "#define tile_end() __asm__ volatile(\"tilerelease\" : : : \"memory\")",
    "#define tile_zero(t) __asm__ volatile(\"tilezero %%tmm\" #t : :)",
    "#define tile_load(t, p, stride) __asm__ volatile(\"tileloadd (%0,%1,1), %%tmm\" #t : : \"r\"(p), \"r\"((i64)(stride)) : \"memory\")",
    "#define tile_store(t, p, stride) __asm__ volatile(\"tilestored %%tmm\" #t \", (%0,%1,1)\" : : \"r\"(p), \"r\"((i64)(stride)) : \"memory\")",
    "#define tile_dot_bf16(c, a, b) __asm__ volatile(\"tdpbf16ps %%tmm\" #b \", %%tmm\" #a \", %%tmm\" #c : :)",
    "#else",
    "typedef struct tile { u32 at[16][16]; } tile;",
    "INLINE f32 tile_f32(u32 bits) { union { u32 u; f32 f; } x; x.u = bits; return x.f; }",
    "INLINE u32 tile_bits(f32 f) { union { u32 u; f32 f; } x; x.f = f; return x.u; }",
    "INLINE f32 tile_flushed(u32 x) { return tile_f32(x & 0x7f800000u ? x : x & 0x80000000u); }",
    "INLINE f32 tile_fma(f32 x, f32 y, f32 z) { f32 r = LIBM(fmaf)(x, y, z); u32 bits = tile_bits(r); f64 beyond;",
    "    if ((bits & 0x7fffffffu) != 0x00800000u) return tile_flushed(bits);",
    "    beyond = LIBM(fma)((f64)x, (f64)y, (f64)z - (r < 0 ? -1 : 1) * (33554431.0 / 33554432.0) * (f64)tile_f32(0x00800000u));",
    "    return beyond != 0 && (beyond < 0) != (r < 0) ? tile_f32(bits & 0x80000000u) : r; }",
    "MAYBE_UNUSED static void tile_dot(tile *c, const tile *a, const tile *b) {",
    "    for (int m = 0; m < 16; m++) for (int n = 0; n < 16; n++) { f32 low = 0, high = 0;",
    "        for (int k = 0; k < 16; k++) { u32 x = a->at[m][k], y = b->at[k][n];",
    "            low = tile_fma(tile_flushed(x << 16), tile_flushed(y << 16), low);",
    "            high = tile_fma(tile_flushed(x & 0xffff0000u), tile_flushed(y & 0xffff0000u), high); }",
    "        low = tile_flushed(tile_bits(low + high));",
    "        c->at[m][n] = tile_bits(tile_flushed(tile_bits(tile_flushed(c->at[m][n]) + low))); } }",
    "MAYBE_UNUSED static void tile_move(u8 *to, i64 to_stride, const u8 *from, i64 from_stride) {",
    "    for (int r = 0; r < 16; r++) for (int i = 0; i < 64; i++) to[r * to_stride + i] = from[r * from_stride + i]; }",
    "#define TILES tile tiles[8]",
    "#define tile_begin() ((void)0)",
    "#define tile_end() ((void)0)",
    "#define tile_zero(t) do for (int r = 0; r < 256; r++) tiles[t].at[r / 16][r % 16] = 0; while (0)",
    "#define tile_load(t, p, stride) tile_move((u8 *)&tiles[t], 64, p, stride)",
    "#define tile_store(t, p, stride) tile_move(p, stride, (const u8 *)&tiles[t], 64)",
    "#define tile_dot_bf16(c, a, b) tile_dot(&tiles[c], &tiles[a], &tiles[b])",
    "#endif",
};

bool c_uses_tiles(const LBlock *block) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (lop_info[inst->op].class_ == LC_TILE) return true;
        for (uint32_t k = 0; k < inst->n_blocks; k++)
            if (c_uses_tiles(inst->blocks[k])) return true;
    }
    return false;
}

void c_tile_op(CPrinter *p, const LInst *inst) {
    bool first = c_define(p, "tiles");
    for (size_t i = 0; first && i < COUNT(lines); i++) text_add(&p->ops, "%s\n", lines[i]);
    text_add(&p->body, "%s(", lop_info[inst->op].name);
    for (uint32_t i = 0; i < inst->imm.n_ints; i++) text_add(&p->body, i ? ", %d" : "%d", (int)inst->imm.ints[i]);
    if (inst->n_in) {
        int bytes = (int)dtype_bytes((DType)p->func->types.at[inst->in[0].id].dtype);
        text_add(&p->body, ", ");
        c_use(p, inst->in[0]);
        text_add(&p->body, " + ");
        c_use(p, inst->in[1]);
        text_add(&p->body, " * %d, ", bytes);
        c_use(p, inst->in[2]);
        text_add(&p->body, " * %d", bytes);
    }
    text_add(&p->body, ");\n");
}
