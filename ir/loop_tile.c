/* loop_tile.c: the tiles of Loop IR: what tile_dot_bf16 computes, bit by bit, and the interpreter's tile instructions.
 *
 * The order and the rounding of a dot product's sums are the hardware's, which no other instruction of Loop IR has: the low
 * halves of the pairs are one ascending fma chain from +0, the high halves another; the two are added, and that to the sum.
 * Subnormal numbers count as 0 and become 0, whatever the thread's mode.  Which quiet NaN comes out is not defined.
 * Source: Intel SDM 2, TDPBF16PS, TILELOADD, LDTILECFG.
 */
#include "loop_interp.h"
#include <float.h>
#include <math.h>
#include <string.h>

static float flushed(float x) { return fabsf(x) < FLT_MIN ? copysignf(0, x) : x; }

/* x * y + z, rounded once; 0 where what it rounds to, with no limit to exponents, is below the least normal number.  fmaf
 * rounds such numbers up to it from half a subnormal step below, and should from half a step of 24 bits. */
static float fma_flushed(float x, float y, float z) {
    float r = fmaf(x, y, z);
    if (fabsf(r) != FLT_MIN) return flushed(r);
    double least = copysign(0x1.ffffffp-127, (double)r), beyond = fma((double)x, (double)y, (double)z - least);
    return beyond != 0 && (beyond < 0) != (r < 0) ? copysignf(0, r) : r;
}

static float half(uint32_t pair, bool high) {
    uint32_t bits = high ? pair & 0xffff0000u : pair << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return flushed(x);
}

void loop_tile_dot_bf16(LoopTile *c, const LoopTile *a, const LoopTile *b) {
    for (uint32_t m = 0; m < TILE_SIDE; m++)
        for (uint32_t n = 0; n < TILE_SIDE; n++) {
            float low = 0, high = 0, sum;
            for (uint32_t k = 0; k < TILE_SIDE; k++) {
                low = fma_flushed(half(a->at[m][k], false), half(b->at[k][n], false), low);
                high = fma_flushed(half(a->at[m][k], true), half(b->at[k][n], true), high);
            }
            memcpy(&sum, &c->at[m][n], sizeof sum);
            sum = flushed(flushed(sum) + flushed(low + high));
            memcpy(&c->at[m][n], &sum, sizeof sum);
        }
}

static bool move_rows(LoopInterp *in, Frame *frame, const LInst *inst, LoopTile *tile) {
    uint64_t each = (uint64_t)dtype_bytes((DType)value_type(frame, inst->in[0]).dtype);
    uint64_t at = slots(frame, inst->in[0])->u + slots(frame, inst->in[1])->u * each,
             stride = slots(frame, inst->in[2])->u * each;
    for (uint32_t r = 0; r < TILE_SIDE; r++, at += stride) {
        bool write = inst->op == LOP_tile_store;
        if (!interp_touch(in, frame, inst, (uintptr_t)at, sizeof tile->at[r], each, write)) return false;
        if (write) memcpy((void *)(uintptr_t)at, tile->at[r], sizeof tile->at[r]);
        else memcpy(tile->at[r], (const void *)(uintptr_t)at, sizeof tile->at[r]);
    }
    return true;
}

bool interp_tile(LoopInterp *in, Frame *frame, const LInst *inst) {
    const int64_t *n = inst->imm.ints;
    LoopTile *tile = in->tile;
    bool begins = inst->op == LOP_tile_begin;
    if (in->tiles == begins)
        return interp_fail(in, frame, inst, begins ? "there are tiles already" : "there are no tiles: tile_begin makes them");
    switch ((int)inst->op) {
    case LOP_tile_begin:
        in->tiles = true;
        memset(in->tile, 0, sizeof in->tile);
        return true;
    case LOP_tile_end: in->tiles = false; return true;
    case LOP_tile_zero: tile[n[0]] = (LoopTile){0}; return true;
    case LOP_tile_dot_bf16: loop_tile_dot_bf16(&tile[n[0]], &tile[n[1]], &tile[n[2]]); return true;
    default: return move_rows(in, frame, inst, &tile[n[0]]);
    }
}
