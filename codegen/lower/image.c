/* image.c: the operand of a convolution as memory: strides of its axes, and which of them a filter may leave.
 *
 * Shared by templates convolution and grouped.  Taps outside the image read a row of zeros: adding +0 changes no bit.
 */
#include "tile.h"

static bool is_at_most(Context *cx, Dim d, int64_t value) {
    int64_t known;
    return dim_const_value(cx, d, &known) && known <= value;
}

/* A read-only object of zeros that the module's convolutions share: at least `bytes`. */
LVal zero_row(Kernel *k, DType memory, int64_t bytes) {
    LoopModule *m = k->b->module;
    const char *name = intern(k->cx, arena_print(k->arena, "%s_zeros", m->name));
    uint32_t i = 0;
    while (i < m->datas.n && m->datas.at[i].name != name) i++;
    if (i == m->datas.n) vec_push(m->arena, &m->datas, (LData){.name = name, .align = 64});
    if (m->datas.at[i].size < (uint64_t)bytes) m->datas.at[i].size = ((uint64_t)bytes + 63) & ~UINT64_C(63);
    return l_addr(k->b, name, lt_pointer(memory));
}

Image image_of(Kernel *k, const Node *conv) {
    Context *cx = k->cx;
    const TypeInfo *x = val_type(k->body, conv->in[0]);
    Image im = {.spatial = x->rank - 2};
    if (node_attr(conv, ATTR_stride))
        im.stride = attr_ints(conv, ATTR_stride, NULL), im.dilation = attr_ints(conv, ATTR_dilation, NULL);
    im.low = attr_dims(conv, ATTR_low, NULL);
    const Dim *high = attr_dims(conv, ATTR_high, NULL);
    Dim at[MAX_RANK], rest;
    Fact facts[MAX_RANK];
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    for (uint32_t i = 0; i < x->rank; i++)
        at[i] = kernel_index(k, l_i64(k->b, 0)), facts[i] = (Fact){REL_LT, at[i], x->dims[i]};
    KernelScope inner;
    kernel_enter(k, &inner, facts, x->rank);
    im.x = blocks_source(k, conv->in[0], at);
    bool ok = dim_affine(cx, im.x.offset, kernel_index_symbol(k, at[0]), &im.step, &rest);
    for (uint32_t i = 0; i < im.spatial; i++)
        ok = ok && dim_affine(cx, rest, kernel_index_symbol(k, at[i + 1]), &im.axis[i], &rest);
    ok = ok && dim_affine(cx, rest, kernel_index_symbol(k, at[x->rank - 1]), &im.channel, &im.origin);
    if (!ok) diag_fatal(cx, "schedule: the image of a convolution has no strides");
    kernel_leave(k, &inner);
    kernel_leave(k, &scope);
    for (uint32_t i = 0; i < im.spatial; i++) {
        im.checked[i] = !is_at_most(cx, im.low[i], 0) || !is_at_most(cx, high[i], 0);
        im.any_checked |= im.checked[i];
    }
    return im;
}

void image_lines(Kernel *k, Dim tile, Dim extent, int64_t size, Dim *at, LinesFn *run, void *user) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim full = kernel_simplify(k, dim_fdiv(cx, extent, dim_const(cx, size))), first = dim_muli(cx, tile, size);
    bool even = prove(cx, k->scope, REL_EQ, dim_muli(cx, full, size), extent) == YES;
    Fact whole[] = {{REL_LT, tile, full}, {REL_LE, dim_addi(cx, first, size), extent}};
    KernelScope scope;
    LIf branch = {0};
    if (!even) branch = l_if(b, l_lt(b, kernel_dim(k, tile), kernel_dim(k, full)));
    kernel_enter(k, &scope, whole, 2);
    *at = first;
    run(k, user, (uint32_t)size);
    kernel_leave(k, &scope);
    if (even) return;
    l_else(b, &branch, NULL, 0);
    *at = dim_add(cx, tile, dim_muli(cx, full, size - 1));
    kernel_enter(k, &scope, (Fact[]){{REL_LE, full, tile}, {REL_LT, *at, extent}}, 2);
    run(k, user, 1);
    kernel_leave(k, &scope);
    l_if_end(b, &branch, NULL, 0, NULL);
}
