/* ops_quantize.c: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: per tensor, per axis, per block.
 *
 * Arithmetic is in f32 (f64 for f64 operands): round(x / scale) + zero, then a saturating conversion.
 */
#include "onnx.h"

/* A scale or zero point as the operand sees it: scalar, a vector along an axis, or blocks of `block` along it. */
static Val aligned(Call *c, Val p, Val x, uint32_t axis, int64_t block) {
    if (!p.id || !x.id) return NO_VAL;
    uint32_t rank = val_rank(c->g, x), own = val_rank(c->g, p);
    Dims scalar = {0};
    if (own == 0) return p;
    if (own == 1 && dim_is(c->cx, val_dim(c->g, p, 0), 1) && !block) return shaped(c, p, &scalar);
    if (!block) return own == 1 ? per_axis(c, p, axis, rank) : p;
    if (own != rank) return fail(c, "blocks need scales of rank %u, found %u", rank, own);
    Val parted = unsqueezed(c, p, axis + 1);
    Dims wide = dims_of(c, parted), merged = dims_of(c, p);
    wide.at[axis + 1] = dim_k(c, block);
    merged.at[axis] = dim_muli(c->cx, merged.at[axis], block);
    Val whole = shaped(c, spread(c, parted, &wide), &merged);
    return sliced(c, whole, axis, dim_k(c, 0), val_dim(c->g, x, axis));
}

static bool place(Call *c, Val x, uint32_t *axis, int64_t *block) {
    *axis = 0;
    *block = attr_i(c, "block_size", 0);
    if (!x.id) return false;
    if (*block < 0 || *block > INT32_MAX) {
        fail(c, "block_size is %lld", (long long)*block);
        return false;
    }
    uint32_t rank = val_rank(c->g, x);
    int64_t wanted = attr_i(c, "axis", 1);
    if (wanted >= (int64_t)rank && !*block) wanted = 0; /* a scalar scale does not need it */
    return rank == 0 || norm_axis(c, wanted, rank, axis);
}

Val import_quantize_linear(Call *c) {
    Val x = in(c, 0), scale = in(c, 1);
    uint32_t axis;
    int64_t block, stated = attr_i(c, "output_dtype", 0);
    if (!scale.id || !place(c, x, &axis, &block)) return NO_VAL;
    Val zero = has_in(c, 2) ? in(c, 2) : NO_VAL;
    DType t = zero.id ? val_dtype(c->g, zero) : stated ? dtype_by_onnx(stated) : DT_u8;
    DType work = val_dtype(c->g, x) == DT_f64 ? DT_f64 : DT_f32;
    if (t == DT_none) return fail(c, "output_dtype %lld is not supported", (long long)stated);
    Val y = ew2(c, OP_div, to(c, x, work), to(c, aligned(c, scale, x, axis, block), work));
    if (dtype_is_int(t)) y = ew1(c, OP_round, y);
    if (zero.id && dtype_is_int(t)) y = ew2(c, OP_add, y, to(c, aligned(c, zero, x, axis, block), work));
    Attr attrs[2] = {{.key = ATTR_dtype, .as.dtype = t},
                     {.key = ATTR_saturate, .as.i = dtype_is_int(t) || attr_i(c, "saturate", 1)}};
    return y.id ? emit(c->g, OP_convert, c->loc, &y, 1, attrs, 2) : y;
}

Val import_dequantize_linear(Call *c) {
    Val x = in(c, 0), scale = in(c, 1);
    uint32_t axis;
    int64_t block, stated = attr_i(c, "output_dtype", 0);
    if (!scale.id || !place(c, x, &axis, &block)) return NO_VAL;
    DType t = stated ? dtype_by_onnx(stated) : val_dtype(c->g, scale);
    if (t == DT_none) return fail(c, "output_dtype %lld is not supported", (long long)stated);
    Val y = to(c, x, DT_f32);
    if (has_in(c, 2) && dtype_is_int(val_dtype(c->g, x)))
        y = ew2(c, OP_sub, y, to(c, aligned(c, in(c, 2), x, axis, block), DT_f32));
    return to(c, ew2(c, OP_mul, y, to(c, aligned(c, scale, x, axis, block), DT_f32)), t);
}

Val u8_step(Call *c, Val x, Val zero, Val levels, Val *low) {
    int64_t axes[MAX_RANK];
    uint32_t rank = val_rank(c->g, x);
    for (uint32_t i = 0; i < rank; i++) axes[i] = i;
    Val high = ew2(c, OP_max, reduce(c, OP_reduce_max, x, axes, rank, false), zero);
    *low = ew2(c, OP_min, reduce(c, OP_reduce_min, x, axes, rank, false), zero);
    return ew2(c, OP_div, ew2(c, OP_sub, high, *low), levels);
}

Val import_dynamic_quantize(Call *c) {
    Val x = in(c, 0), zero = num(c, x, 0), levels = num(c, x, 255), low;
    if (!x.id) return x;
    Val scale = u8_step(c, x, zero, levels, &low);
    Val point = ew2(c, OP_div, ew2(c, OP_sub, zero, low), scale);
    point = ew1(c, OP_round, ew2(c, OP_min, ew2(c, OP_max, point, zero), levels));
    Val y = ew2(c, OP_add, ew1(c, OP_round, ew2(c, OP_div, x, scale)), point);
    set_out(c, 1, scale);
    set_out(c, 2, to(c, point, DT_u8));
    return to(c, y, DT_u8);
}
