/* loop_data.c: what a data object of a Loop module holds, whether its bytes are in memory or constants still to be read.
 *
 * Weights are a list of constants at offsets: printers and files take them a piece at a time, and only what must have them in
 * memory (code in this process, the interpreter, texts) makes a copy.
 */
#include "loop.h"
#include <string.h>

const LData *loop_weights(const LoopModule *m) {
    for (uint32_t i = 0; i < m->datas.n; i++)
        if (m->datas.at[i].flags & LD_WEIGHTS) return &m->datas.at[i];
    return NULL;
}

typedef struct Parts { Context *cx; const LData *data; } Parts;

static bool put_parts(const void *what, SinkFn *sink, void *user) {
    const Parts *p = what;
    const LData *d = p->data;
    uint64_t at = 0;
    for (uint32_t i = 0; i < d->n_parts; i++) {
        const ConstInfo *c = const_info(p->cx, d->parts[i].data);
        FilePiece gap = {.n = d->parts[i].offset - at};
        if (!piece_put(&gap, sink, user) || !const_stream(p->cx, d->parts[i].data, sink, user)) return false;
        at = d->parts[i].offset + c->elements * (uint64_t)dtype_bytes(c->dtype);
    }
    FilePiece rest = {.n = d->size - at};
    return piece_put(&rest, sink, user);
}

FilePiece loop_data_piece(const LoopModule *m, const LData *d) {
    if (d->bytes || !d->n_parts) return (FilePiece){.bytes = d->bytes, .n = d->size};
    const Parts parts = {m->cx, d};
    return (FilePiece){.n = d->size, .produce = put_parts, .what = arena_copy(m->arena, &parts, sizeof parts)};
}

static bool copy_sink(void *user, const void *bytes, size_t n) {
    uint8_t **at = user;
    memcpy(*at, bytes, n);
    *at += n;
    return true;
}

static uint8_t *copy(const LoopModule *m, const LData *d) {
    uint8_t *bytes = arena_alloc(m->arena, d->size + 64);
    bytes += -(uintptr_t)bytes & 63;
    uint8_t *at = bytes;
    FilePiece piece = loop_data_piece(m, d);
    piece_put(&piece, copy_sink, &at);
    return bytes;
}

const uint8_t *loop_data_bytes(const LoopModule *m, const LData *d) { return d->bytes || !d->n_parts ? d->bytes : copy(m, d); }

const uint8_t *loop_data_aligned(const LoopModule *m, const LData *d) {
    return d->bytes && ((uintptr_t)d->bytes & 63) == 0 ? d->bytes : copy(m, d);
}
