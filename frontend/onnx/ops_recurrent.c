/* ops_recurrent.c: RNN, GRU and LSTM.
 *
 * The operand's product with the input weights is taken for all steps at once; the recurrence is a scan over its slices
 * that carries the state.  Sequences shorter than the longest keep their state and give zeros once they have ended; in
 * the backward direction they start late.  Gate orders are ONNX's: LSTM iofc, GRU zrh.
 */
#include "onnx.h"
#include <math.h>
#include <string.h>

typedef enum Cell { CELL_RNN = 1, CELL_GRU = 3, CELL_LSTM = 4 } Cell; /* the number of gates */

typedef struct Recurrent {
    Cell cell;
    uint32_t directions, functions; /* functions per direction */
    const char *names[6];
    double alpha[6], beta[6];
    double clip; /* <= 0: none */
    bool couple, linear_reset;
    Val x, lens, initial_h, initial_c;
    Dim steps, batch, hidden;
} Recurrent;

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static bool takes_alpha(const char *name) {
    static const char *const those[] = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"};
    for (uint32_t i = 0; i < COUNT(those); i++)
        if (strcmp(name, those[i]) == 0) return true;
    return false;
}

static bool takes_beta(const char *name) {
    return strcmp(name, "Affine") == 0 || strcmp(name, "ScaledTanh") == 0 || strcmp(name, "HardSigmoid") == 0;
}

static bool read_activations(Call *c, Recurrent *r) {
    static const char *const usual[] = {"Sigmoid", "Tanh", "Tanh"};
    const OnnxAttr *a = find_attr(c, "activations");
    const FloatVec *alpha = attr_floats(c, "activation_alpha"), *beta = attr_floats(c, "activation_beta");
    uint32_t n = r->directions * r->functions, next_alpha = 0, next_beta = 0;
    if (a && (a->type != ONNX_ATTR_STRINGS || a->strings.n != n)) {
        fail(c, "%u activations are needed", n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        r->names[i] = a ? a->strings.at[i] : r->cell == CELL_RNN ? "Tanh" : usual[i % r->functions];
        r->alpha[i] = r->beta[i] = NAN;
        if (alpha && takes_alpha(r->names[i]) && next_alpha < alpha->n) r->alpha[i] = alpha->at[next_alpha++];
        if (beta && takes_beta(r->names[i]) && next_beta < beta->n) r->beta[i] = beta->at[next_beta++];
    }
    return true;
}

static Val batch_second(Call *c, Val v, bool swap) {
    static const int64_t perm[] = {1, 0, 2};
    return swap && v.id ? permuted(c, v, perm) : v;
}

static bool read_recurrent(Call *c, Recurrent *r) {
    bool rows = attr_i(c, "layout", 0) != 0;
    r->cell = (Cell)c->row->param;
    r->functions = r->cell == CELL_LSTM ? 3 : r->cell == CELL_GRU ? 2 : 1;
    r->directions = attr_is(c, "direction", "forward", "bidirectional") ? 2 : 1;
    r->clip = attr_f(c, "clip", 0);
    r->couple = attr_i(c, "input_forget", 0) != 0;
    r->linear_reset = attr_i(c, "linear_before_reset", 0) != 0;
    if (!read_activations(c, r)) return false;
    Val w = in(c, 1), rec = in(c, 2), x = in(c, 0);
    if (!x.id || !w.id || !rec.id) return false;
    if (val_rank(c->g, x) != 3 || val_rank(c->g, w) != 3 || val_rank(c->g, rec) != 3) {
        fail(c, "operand and weights have to be of rank 3");
        return false;
    }
    r->x = batch_second(c, x, rows);
    r->steps = val_dim(c->g, r->x, 0), r->batch = val_dim(c->g, r->x, 1), r->hidden = val_dim(c->g, rec, 2);
    if (has_in(c, 4)) r->lens = to(c, in(c, 4), DT_i64);
    if (has_in(c, 5)) r->initial_h = batch_second(c, in(c, 5), rows);
    if (r->cell == CELL_LSTM && has_in(c, 6)) r->initial_c = batch_second(c, in(c, 6), rows);
    return true;
}

/* ---- one step, inside the body ----------------------------------------------------------------------------------- */

typedef struct Step {
    Call b; /* builds in the body */
    const Recurrent *r;
    uint32_t direction;
    Val position, h, cell, x, weights, bias, peepholes, lens;
} Step;

static Val gate(Step *s, Val all, uint32_t k) {
    Dim start = dim_muli(s->b.cx, s->r->hidden, k);
    return sliced(&s->b, all, val_rank(s->b.g, all) - 1, start, s->r->hidden);
}

static Val apply(Step *s, uint32_t k, Val v) {
    uint32_t i = s->direction * s->r->functions + k;
    if (s->r->clip > 0)
        v = ew2(&s->b, OP_max, ew2(&s->b, OP_min, v, num(&s->b, v, s->r->clip)), num(&s->b, v, -s->r->clip));
    return activation(&s->b, s->r->names[i], v, s->r->alpha[i], s->r->beta[i]);
}

static Val add(Step *s, Val a, Val b) { return ew2(&s->b, OP_add, a, b); }
static Val mul(Step *s, Val a, Val b) { return ew2(&s->b, OP_mul, a, b); }

static Val from_h(Step *s, Val h, Val weights) {
    return h.id && weights.id ? b_dot(s->b.g, s->b.loc, h, weights, 0) : NO_VAL;
}

static Val columns(Step *s, uint32_t first, uint32_t n) {
    Dim start = dim_muli(s->b.cx, s->r->hidden, first), extent = dim_muli(s->b.cx, s->r->hidden, n);
    return sliced(&s->b, s->weights, 1, start, extent);
}

static void step_rnn(Step *s, Val *h) { *h = apply(s, 0, add(s, s->x, from_h(s, s->h, s->weights))); }

static void step_gru(Step *s, Val *h) {
    Dim two = dim_muli(s->b.cx, s->r->hidden, 2);
    Val from_x = sliced(&s->b, s->x, 1, dim_k(&s->b, 0), two), first = add(s, from_x, from_h(s, s->h, columns(s, 0, 2)));
    Val z = apply(s, 0, gate(s, first, 0)), reset = apply(s, 0, gate(s, first, 1)), inner;
    if (s->r->linear_reset) {
        inner = from_h(s, s->h, columns(s, 2, 1));
        if (s->bias.id) inner = add(s, inner, s->bias);
        inner = mul(s, reset, inner);
    } else {
        inner = from_h(s, mul(s, reset, s->h), columns(s, 2, 1));
    }
    Val fresh = apply(s, 1, add(s, gate(s, s->x, 2), inner));
    Val keep = ew2(&s->b, OP_sub, num(&s->b, z, 1), z);
    *h = add(s, mul(s, keep, fresh), mul(s, z, s->h));
}

static void step_lstm(Step *s, Val *h, Val *cell) {
    Val all = add(s, s->x, from_h(s, s->h, s->weights));
    Val i = gate(s, all, 0), o = gate(s, all, 1), f = gate(s, all, 2), c = gate(s, all, 3);
    if (s->peepholes.id) {
        i = add(s, i, mul(s, gate(s, s->peepholes, 0), s->cell));
        f = add(s, f, mul(s, gate(s, s->peepholes, 2), s->cell));
    }
    i = apply(s, 0, i);
    f = s->r->couple ? ew2(&s->b, OP_sub, num(&s->b, i, 1), i) : apply(s, 0, f);
    *cell = add(s, mul(s, f, s->cell), mul(s, i, apply(s, 1, c)));
    if (s->peepholes.id) o = add(s, o, mul(s, gate(s, s->peepholes, 1), *cell));
    uint32_t k = s->direction * s->r->functions + 2;
    *h = mul(s, apply(s, 0, o), activation(&s->b, s->r->names[k], *cell, s->r->alpha[k], s->r->beta[k]));
}

/* ---- one direction ----------------------------------------------------------------------------------------------- */

static Val body_param(Step *s, const Graph *outer, Val like, const char *name, uint32_t drop) {
    if (!like.id) return like;
    const TypeInfo *t = val_type(outer, like);
    return b_param(s->b.g, s->b.loc, name, t->dtype, t->rank - drop, t->dims + drop);
}

static Val one_direction(Call *c, Val all, uint32_t direction) {
    return squeezed(c, sliced(c, all, 0, dim_k(c, direction), dim_k(c, 1)), 0);
}

/* Operands of the scan: carried h (and c), the slices, then weights, bias, peepholes, lens as far as there are any. */
typedef struct Wiring {
    Val h, cell, x, weights, bias, peepholes, lens;
} Wiring;

static bool wire(Call *c, const Recurrent *r, uint32_t d, Wiring *w) {
    Dims state = {.n = 2, .at = {r->batch, r->hidden}};
    Dim gates = dim_muli(c->cx, r->hidden, r->cell);
    DType t = val_dtype(c->g, r->x);
    Val input = one_direction(c, in(c, 1), d);
    w->weights = swap_last(c, one_direction(c, in(c, 2), d));
    Val x = input.id ? b_dot(c->g, c->loc, r->x, swap_last(c, input), 0) : NO_VAL;
    if (has_in(c, 3)) {
        Val bias = one_direction(c, in(c, 3), d), wb = sliced(c, bias, 0, dim_k(c, 0), gates),
            rb = sliced(c, bias, 0, gates, gates);
        if (r->cell == CELL_GRU && r->linear_reset) {
            Dim two = dim_muli(c->cx, r->hidden, 2);
            w->bias = sliced(c, rb, 0, two, r->hidden);
            Dims last = {.n = 1, .at = {r->hidden}};
            Val parts[2] = {sliced(c, rb, 0, dim_k(c, 0), two), splat(c, t, 0, &last)};
            rb = parts[0].id ? b_concat(c->g, c->loc, parts, 2, 0) : NO_VAL;
        }
        x = ew2(c, OP_add, x, ew2(c, OP_add, wb, rb));
    }
    w->x = x;
    w->h = r->initial_h.id ? one_direction(c, r->initial_h, d) : splat(c, t, 0, &state);
    if (r->cell == CELL_LSTM) w->cell = r->initial_c.id ? one_direction(c, r->initial_c, d) : splat(c, t, 0, &state);
    if (r->cell == CELL_LSTM && has_in(c, 7)) w->peepholes = one_direction(c, in(c, 7), d);
    w->lens = r->lens;
    return w->x.id && w->h.id && w->weights.id;
}

/* Values of ended sequences stay, their outputs are 0. */
static Val ended(Step *s, Val fresh, Val old) {
    if (!s->lens.id) return fresh;
    Val alive = unsqueezed(&s->b, ew2(&s->b, OP_lt, s->position, s->lens), 1);
    return sel(&s->b, alive, fresh, old.id ? old : num(&s->b, fresh, 0));
}

static Val run_direction(Call *c, const Recurrent *r, uint32_t d, bool backward) {
    Wiring w = {0};
    Step s = {.b = *c, .r = r, .direction = d};
    Val h = NO_VAL, cell = NO_VAL, list[8];
    uint32_t n = 0;
    if (!wire(c, r, d, &w)) return NO_VAL;
    s.b.g = graph_new(c->cx, "step");
    s.position = b_param(s.b.g, c->loc, "position", DT_i64, 0, NULL);
    s.h = body_param(&s, c->g, w.h, "h", 0), list[n++] = w.h;
    if (w.cell.id) s.cell = body_param(&s, c->g, w.cell, "c", 0), list[n++] = w.cell;
    uint32_t carried = n;
    s.x = body_param(&s, c->g, w.x, "x", 1), list[n++] = w.x;
    s.weights = body_param(&s, c->g, w.weights, "weights", 0), list[n++] = w.weights;
    if (w.bias.id) s.bias = body_param(&s, c->g, w.bias, "bias", 0), list[n++] = w.bias;
    if (w.peepholes.id) s.peepholes = body_param(&s, c->g, w.peepholes, "peepholes", 0), list[n++] = w.peepholes;
    if (w.lens.id) s.lens = body_param(&s, c->g, w.lens, "lengths", 0), list[n++] = w.lens;
    if (r->cell == CELL_LSTM)
        step_lstm(&s, &h, &cell);
    else if (r->cell == CELL_GRU)
        step_gru(&s, &h);
    else
        step_rnn(&s, &h);
    graph_result(s.b.g, ended(&s, h, s.h), "h");
    if (w.cell.id) graph_result(s.b.g, ended(&s, cell, s.cell), "c");
    graph_result(s.b.g, ended(&s, h, NO_VAL), "y");
    if (!h.id || !graph_finish(s.b.g)) return NO_VAL;
    Attr attrs[] = {{.key = ATTR_carried, .as.i = carried},
                    {.key = ATTR_scanned, .as.i = 1},
                    {.key = ATTR_trip, .as.dim = r->steps},
                    {.key = ATTR_body, .as.graph = s.b.g},
                    {.key = ATTR_reverse, .as.i = backward}};
    return emit(c->g, OP_scan, c->loc, list, n, attrs, COUNT(attrs));
}

/* Per direction [.., b, h] -> [.., d, b, h], or with the batch first. */
static Val join(Call *c, Val *parts, uint32_t n, uint32_t axis, bool rows) {
    static const int64_t perm_y[] = {2, 0, 1, 3}, perm_h[] = {1, 0, 2};
    for (uint32_t i = 0; i < n; i++)
        if (!(parts[i] = unsqueezed(c, parts[i], axis)).id) return NO_VAL;
    Val all = n == 1 ? parts[0] : b_concat(c->g, c->loc, parts, n, axis);
    return rows ? permuted(c, all, axis ? perm_y : perm_h) : all;
}

Val import_recurrent(Call *c) {
    Recurrent r = {0};
    Val y[2], h[2], cell[2];
    bool rows = attr_i(c, "layout", 0) != 0, reverse = attr_is(c, "direction", "forward", "reverse");
    if (!read_recurrent(c, &r)) return NO_VAL;
    for (uint32_t d = 0; d < r.directions; d++) {
        Val all = run_direction(c, &r, d, reverse || d == 1);
        if (!all.id) return NO_VAL;
        h[d] = b_get(c->g, c->loc, all, 0);
        cell[d] = r.cell == CELL_LSTM ? b_get(c->g, c->loc, all, 1) : NO_VAL;
        y[d] = b_get(c->g, c->loc, all, r.cell == CELL_LSTM ? 2 : 1);
    }
    if (wants_out(c, 1)) set_out(c, 1, join(c, h, r.directions, 0, rows));
    if (wants_out(c, 2) && r.cell == CELL_LSTM) set_out(c, 2, join(c, cell, r.directions, 0, rows));
    return wants_out(c, 0) ? join(c, y, r.directions, 1, rows) : NO_VAL;
}
