/* ops_trees.c: TreeEnsemble, TreeEnsembleRegressor, TreeEnsembleClassifier of ai.onnx.ml.
 *
 * All trees of all rows walk down together: a state [rows, trees] of node numbers takes as many steps as the deepest tree
 * is deep; leaves lead to themselves.  The tables (threshold; feature, successors and mode in one word) are constants that are
 * gathered.
 */
#include "onnx.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum Mode { MODE_LEQ, MODE_LT, MODE_GTE, MODE_GT, MODE_EQ, MODE_NEQ, MODE_MEMBER, MODE_LEAF } Mode;
typedef struct TreeNode {
    Mode mode;
    int64_t feature, yes, no;
    double split;
    bool missing_yes;
    uint32_t members, n_members; /* of `member` */
} TreeNode;
typedef struct Vote {
    uint32_t node;
    int64_t target;
    double weight;
} Vote;
typedef struct Forest {
    VEC(TreeNode) nodes;
    IntVec roots;
    FloatVec member;
    VEC(Vote) votes;
    int64_t targets;
    DType dtype;
} Forest;

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint32_t deepest(Call *c, const Forest *f, bool *loops) {
    uint32_t n = f->nodes.n, depth = 0;
    int64_t *level = arena_new_array(c->im->arena, int64_t, n), *next = arena_new_array(c->im->arena, int64_t, n);
    uint32_t now = 0;
    for (uint32_t i = 0; i < f->roots.n && now < n; i++) level[now++] = f->roots.at[i];
    *loops = false;
    for (uint32_t total = now; now; depth++) {
        uint32_t after = 0;
        for (uint32_t i = 0; i < now; i++) {
            const TreeNode *t = &f->nodes.at[level[i]];
            if (t->mode == MODE_LEAF) continue;
            if (total + 2 > 2 * n + 2 || after + 2 > n) {
                *loops = true;
                return 0;
            }
            next[after++] = t->yes, next[after++] = t->no;
            total += 2;
        }
        int64_t *swap = level;
        level = next, next = swap, now = after;
    }
    return depth ? depth - 1 : 0;
}

static bool check_forest(Call *c, const Forest *f) {
    int64_t n = f->nodes.n;
    for (int64_t i = 0; i < n; i++) {
        const TreeNode *t = &f->nodes.at[i];
        if (t->yes < 0 || t->yes >= n || t->no < 0 || t->no >= n || t->feature < 0) {
            fail(c, "tree node %lld leads out of the ensemble", (long long)i);
            return false;
        }
    }
    for (uint32_t i = 0; i < f->roots.n; i++)
        if (f->roots.at[i] < 0 || f->roots.at[i] >= n) {
            fail(c, "tree root %lld does not exist", (long long)f->roots.at[i]);
            return false;
        }
    for (uint32_t i = 0; i < f->votes.n; i++)
        if (f->votes.at[i].target < 0 || f->votes.at[i].target >= f->targets) {
            fail(c, "a leaf votes for target %lld of %lld", (long long)f->votes.at[i].target, (long long)f->targets);
            return false;
        }
    if (f->targets < 1 || f->targets > 1 << 16 || f->roots.n == 0) {
        fail(c, "%lld targets and %u trees", (long long)f->targets, f->roots.n);
        return false;
    }
    return true;
}

/* Numbers of an attribute that is a tensor, or a list of floats. */
static bool numbers(Call *c, const char *tensor, const char *list, FloatVec *to_) {
    const OnnxAttr *a = find_attr(c, tensor);
    uint64_t n;
    if (a && a->type == ONNX_ATTR_TENSOR && a->t) {
        Const data = tensor_const(c->cx, c->loc, a->t, NULL);
        DType t = dtype_by_onnx(a->t->data_type);
        if (!data.id || !tensor_count(a->t, &n)) return false;
        for (uint64_t i = 0; i < n; i++)
            vec_push(c->im->arena, to_, scalar_convert(DT_f64, t, const_element(c->cx, data, i), false).f);
        return true;
    }
    const FloatVec *floats = list ? attr_floats(c, list) : NULL;
    if (floats) *to_ = *floats;
    return true;
}

static bool read_nodes_v5(Call *c, Forest *f) {
    const IntVec *features = attr_list(c, "nodes_featureids"), *yes = attr_list(c, "nodes_truenodeids"),
                 *no = attr_list(c, "nodes_falsenodeids");
    const IntVec *yes_leaf = attr_list(c, "nodes_trueleafs"), *no_leaf = attr_list(c, "nodes_falseleafs"),
                 *roots = attr_list(c, "tree_roots");
    const IntVec *voted = attr_list(c, "leaf_targetids"), *missing = attr_list(c, "nodes_missing_value_tracks_true");
    FloatVec splits = {0}, modes = {0}, weights = {0}, members = {0};
    if (!numbers(c, "nodes_splits", NULL, &splits) || !numbers(c, "nodes_modes", NULL, &modes) ||
        !numbers(c, "leaf_weights", NULL, &weights) || !numbers(c, "membership_values", NULL, &members))
        return false;
    uint32_t n = features ? features->n : 0;
    if (!yes || !no || !yes_leaf || !no_leaf || !roots || !voted || yes->n != n || no->n != n || yes_leaf->n != n ||
        no_leaf->n != n || splits.n != n || modes.n != n || weights.n != voted->n || (missing && missing->n != n)) {
        fail(c, "the ensemble's attributes are not of one length");
        return false;
    }
    uint32_t member = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!(modes.at[i] >= 0 && modes.at[i] < (double)MODE_LEAF)) {
            fail(c, "node mode %g is not known", modes.at[i]);
            return false;
        }
        TreeNode t = {.mode = (Mode)modes.at[i],
                      .feature = features->at[i],
                      .split = splits.at[i],
                      .missing_yes = missing && missing->at[i]};
        t.yes = yes->at[i] + (yes_leaf->at[i] ? n : 0), t.no = no->at[i] + (no_leaf->at[i] ? n : 0);
        if (t.mode == MODE_MEMBER) { /* its values end at a NaN */
            t.members = f->member.n;
            while (member < members.n && !isnan(members.at[member]))
                vec_push(c->im->arena, &f->member, members.at[member++]);
            member++;
            t.n_members = f->member.n - t.members;
        }
        vec_push(c->im->arena, &f->nodes, t);
    }
    for (uint32_t i = 0; i < voted->n; i++) {
        vec_push(c->im->arena, &f->nodes, (TreeNode){.mode = MODE_LEAF, .yes = n + i, .no = n + i});
        vec_push(c->im->arena, &f->votes, (Vote){n + i, voted->at[i], weights.at[i]});
    }
    f->roots = *roots;
    f->targets = attr_i(c, "n_targets", 1);
    return true;
}

static Mode mode_named(const char *name) {
    static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                        "BRANCH_EQ",  "BRANCH_NEQ", "",           "LEAF"};
    for (uint32_t i = 0; i < COUNT(names); i++)
        if (strcmp(names[i], name) == 0) return (Mode)i;
    return MODE_MEMBER;
}

/* The number of node `id` of tree `tree` in the list; -1 where there is none. */
static int64_t node_number(const Map *map, const IntVec *trees, const IntVec *ids, int64_t tree, int64_t id) {
    uint32_t cursor = 0, k;
    while ((k = map_next(map, hash_mix((uint64_t)tree, (uint64_t)id), &cursor)) != 0)
        if (trees->at[k - 1] == tree && ids->at[k - 1] == id) return k - 1;
    return -1;
}

/* The classic operators: nodes and votes are named by (tree, node). kind: "target" or "class". */
static bool read_nodes_classic(Call *c, Forest *f, const char *kind) {
    char name[32];
    const char *list[3] = {"treeids", "nodeids", "ids"};
    const IntVec *votes[3], *trees = attr_list(c, "nodes_treeids"), *ids = attr_list(c, "nodes_nodeids"),
                            *features = attr_list(c, "nodes_featureids");
    const IntVec *yes = attr_list(c, "nodes_truenodeids"), *no = attr_list(c, "nodes_falsenodeids"),
                 *missing = attr_list(c, "nodes_missing_value_tracks_true");
    const OnnxAttr *modes = find_attr(c, "nodes_modes");
    FloatVec splits = {0}, weights = {0};
    for (uint32_t i = 0; i < 3; i++) snprintf(name, sizeof name, "%s_%s", kind, list[i]), votes[i] = attr_list(c, name);
    if (!numbers(c, "nodes_values_as_tensor", "nodes_values", &splits)) return false;
    bool class_ = strcmp(kind, "class") == 0;
    if (!numbers(c, class_ ? "class_weights_as_tensor" : "target_weights_as_tensor",
                 class_ ? "class_weights" : "target_weights", &weights))
        return false;
    uint32_t n = trees ? trees->n : 0;
    if (!ids || !features || !yes || !no || !modes || !votes[0] || !votes[1] || !votes[2] || ids->n != n ||
        features->n != n || yes->n != n || no->n != n || splits.n != n || modes->strings.n != n ||
        weights.n != votes[0]->n || votes[1]->n != votes[0]->n || votes[2]->n != votes[0]->n ||
        (missing && missing->n && missing->n != n)) {
        fail(c, "the ensemble's attributes are not of one length");
        return false;
    }
    Map map = map_new(c->im->arena);
    for (uint32_t i = 0; i < n; i++) map_add(&map, hash_mix((uint64_t)trees->at[i], (uint64_t)ids->at[i]), i + 1);
    for (uint32_t i = 0; i < n; i++) {
        TreeNode t = {.mode = mode_named(modes->strings.at[i]),
                      .feature = features->at[i],
                      .split = splits.at[i],
                      .missing_yes = missing && missing->n && missing->at[i],
                      .yes = i,
                      .no = i};
        if (t.mode == MODE_MEMBER) {
            fail(c, "node mode '%s' is not known", modes->strings.at[i]);
            return false;
        }
        if (t.mode != MODE_LEAF) {
            t.yes = node_number(&map, trees, ids, trees->at[i], yes->at[i]);
            t.no = node_number(&map, trees, ids, trees->at[i], no->at[i]);
        } else {
            t.feature = 0;
        }
        if (i == 0 || trees->at[i] != trees->at[i - 1]) vec_push(c->im->arena, &f->roots, i);
        vec_push(c->im->arena, &f->nodes, t);
    }
    for (uint32_t i = 0; i < weights.n; i++) {
        int64_t at = node_number(&map, trees, ids, votes[0]->at[i], votes[1]->at[i]);
        if (at < 0) {
            fail(c, "a vote names node %lld of tree %lld, which does not exist", (long long)votes[1]->at[i],
                 (long long)votes[0]->at[i]);
            return false;
        }
        vec_push(c->im->arena, &f->votes, (Vote){(uint32_t)at, votes[2]->at[i], weights.at[i]});
    }
    return true;
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

static int64_t pick_feature(const TreeNode *t) { return t->feature; }
static int64_t pick_yes(const TreeNode *t) { return t->yes; }
static int64_t pick_no(const TreeNode *t) { return t->no; }
static int64_t pick_mode(const TreeNode *t) { return t->mode; }
static int64_t pick_missing(const TreeNode *t) { return t->missing_yes; }

/* What a step asks of a node, side by side in as few words as hold it: a gather costs more than a shift and a mask. */
typedef enum NodeField { FIELD_FEATURE, FIELD_YES, FIELD_NO, FIELD_MODE, FIELD_MISSING, FIELDS } NodeField;
typedef struct NodeWords {
    uint32_t n, word[FIELDS], low[FIELDS], bits[FIELDS];
    Val table[FIELDS];
} NodeWords;

static NodeWords node_words(Call *c, const Forest *f) {
    static int64_t (*const pick[FIELDS])(const TreeNode *) = {pick_feature, pick_yes, pick_no, pick_mode, pick_missing};
    enum { WIDTH = 63 };
    NodeWords w = {0};
    int64_t *data[FIELDS];
    uint32_t used = WIDTH;
    for (NodeField k = 0; k < FIELDS; k++) {
        int64_t most = 0;
        for (uint32_t i = 0; i < f->nodes.n; i++) most |= pick[k](&f->nodes.at[i]);
        while (w.bits[k] < WIDTH && most >> w.bits[k]) w.bits[k]++;
        if (w.n == 0 || used + w.bits[k] > WIDTH) {
            data[w.n++] = arena_new_array(c->cx->arena, int64_t, f->nodes.n);
            used = 0;
        }
        int64_t *to_ = data[w.n - 1];
        for (uint32_t i = 0; i < f->nodes.n; i++) to_[i] = (used ? to_[i] : 0) | pick[k](&f->nodes.at[i]) << used;
        w.word[k] = w.n - 1, w.low[k] = used;
        used += w.bits[k];
    }
    Dim n = dim_k(c, f->nodes.n);
    for (uint32_t i = 0; i < w.n; i++)
        w.table[i] = b_const(c->g, c->loc, const_data(c->cx, DT_i64, f->nodes.n, data[i]), 1, &n);
    return w;
}

static Val field(Call *c, const NodeWords *w, const Val *words, NodeField k) {
    Val v = words[w->word[k]];
    if (w->low[k]) v = ew2(c, OP_shr, v, numt(c, DT_i64, w->low[k]));
    return ew2(c, OP_and, v, b_int(c->g, c->loc, DT_i64, (int64_t)((UINT64_C(1) << w->bits[k]) - 1)));
}

static Val floats_table(Call *c, DType t, const double *values, uint32_t n, const Dims *d) {
    uint8_t *data = arena_array(c->cx->arena, (size_t)dtype_bytes(t), n);
    for (uint32_t i = 0; i < n; i++)
        scalar_store(t, data + i * (size_t)dtype_bytes(t), scalar_wrap(t, (Scalar){.f = values[i]}));
    return b_const(c->g, c->loc, const_data(c->cx, t, n, data), d->n, d->at);
}

static Val at_state(Call *c, Val table, Val state) {
    return table.id && state.id ? b_gather(c->g, c->loc, table, state, 0, 0) : NO_VAL;
}

static Val compare(Call *c, Mode mode, Val x, Val split) {
    switch (mode) {
    case MODE_LEQ: return ew2(c, OP_le, x, split);
    case MODE_LT: return ew2(c, OP_lt, x, split);
    case MODE_GTE: return ew2(c, OP_le, split, x);
    case MODE_GT: return ew2(c, OP_lt, split, x);
    case MODE_NEQ: return logical_not(c, ew2(c, OP_eq, x, split));
    case MODE_EQ:
    case MODE_MEMBER:
    case MODE_LEAF: break;
    }
    return ew2(c, OP_eq, x, split);
}

/* Whether x is one of the values that the node at `state` lists: a table [nodes, most values], filled up with NaN. */
static Val member_of(Call *c, const Forest *f, Val x, Val state) {
    uint32_t most = 1;
    for (uint32_t i = 0; i < f->nodes.n; i++)
        if (f->nodes.at[i].n_members > most) most = f->nodes.at[i].n_members;
    uint64_t all = (uint64_t)most * f->nodes.n;
    if (all > 1 << 26) return fail(c, "set memberships of more than 2^26 entries");
    double *values = arena_new_array(c->im->arena, double, all);
    for (uint32_t i = 0; i < f->nodes.n; i++)
        for (uint32_t k = 0; k < most; k++)
            values[(uint64_t)i * most + k] =
                k < f->nodes.at[i].n_members ? f->member.at[f->nodes.at[i].members + k] : (double)NAN;
    Dims d = {.n = 2, .at = {dim_k(c, f->nodes.n), dim_k(c, most)}};
    Val rows = at_state(c, floats_table(c, f->dtype, values, (uint32_t)all, &d), state); /* [rows, trees, most] */
    return reduce1(c, OP_reduce_max, ew2(c, OP_eq, unsqueezed(c, x, 2), rows), 2, false);
}

static Val leaves(Call *c, const Forest *f, Val x) {
    bool used[MODE_LEAF + 1] = {false}, missing = false, loops;
    double *splits = arena_new_array(c->im->arena, double, f->nodes.n);
    Dims line = {.n = 1, .at = {dim_k(c, f->nodes.n)}},
         grid = {.n = 2, .at = {val_dim(c->g, x, 0), dim_k(c, f->roots.n)}};
    for (uint32_t i = 0; i < f->nodes.n; i++) {
        splits[i] = f->nodes.at[i].split;
        used[f->nodes.at[i].mode] = true;
        missing = missing || f->nodes.at[i].missing_yes;
    }
    uint32_t depth = deepest(c, f, &loops);
    if (loops) return fail(c, "the trees' nodes form a cycle, or share nodes");
    Val state = spread(c, b_ints(c->g, c->loc, f->roots.at, f->roots.n), &grid);
    Val split_table = floats_table(c, f->dtype, splits, f->nodes.n, &line);
    Attr axis = {.key = ATTR_axis, .as.i = 1};
    NodeWords nodes = node_words(c, f);
    for (uint32_t step = 0; step < depth && state.id; step++) {
        Val words[FIELDS] = {{0}};
        for (uint32_t i = 0; i < nodes.n; i++) words[i] = at_state(c, nodes.table[i], state);
        Val pair[2] = {x, field(c, &nodes, words, FIELD_FEATURE)};
        Val v = emit(c->g, OP_gather_elements, c->loc, pair, 2, &axis, 1), split = at_state(c, split_table, state),
            cond = NO_VAL;
        Val mode = field(c, &nodes, words, FIELD_MODE);
        for (Mode m = MODE_LEQ; m < MODE_LEAF; m++) {
            if (!used[m]) continue;
            Val one = m == MODE_MEMBER ? member_of(c, f, v, state) : compare(c, m, v, split);
            cond = cond.id ? sel(c, ew2(c, OP_eq, mode, numt(c, DT_i64, m)), one, cond) : one;
        }
        if (missing) {
            Val follows = ew2(c, OP_eq, field(c, &nodes, words, FIELD_MISSING), numt(c, DT_i64, 1));
            cond = ew2(c, OP_or, cond, ew2(c, OP_and, ew1(c, OP_isnan, v), follows));
        }
        state = sel(c, cond, field(c, &nodes, words, FIELD_YES), field(c, &nodes, words, FIELD_NO));
    }
    return state;
}

/* Sum, mean, smallest or largest over the trees of what their leaves vote: [rows, targets]. */
static Val ballot(Call *c, const Forest *f, Val state, const char *how) {
    uint64_t all = (uint64_t)f->nodes.n * (uint64_t)f->targets;
    bool least = strcmp(how, "MIN") == 0, most = strcmp(how, "MAX") == 0;
    double absent = least ? (double)INFINITY : most ? (double)-INFINITY : 0;
    if (all > 1 << 26) return fail(c, "an ensemble of more than 2^26 votes");
    double *weights = arena_new_array(c->im->arena, double, all);
    for (uint64_t i = 0; i < all; i++) weights[i] = absent;
    for (uint32_t i = 0; i < f->votes.n; i++) {
        const Vote *v = &f->votes.at[i];
        double *w = &weights[(uint64_t)v->node * (uint64_t)f->targets + (uint64_t)v->target];
        *w = least || most ? v->weight : *w + v->weight;
    }
    Dims d = {.n = 2, .at = {dim_k(c, f->nodes.n), dim_k(c, f->targets)}};
    Val votes = at_state(c, floats_table(c, f->dtype, weights, (uint32_t)all, &d), state); /* [rows, trees, targets] */
    Val y = reduce1(c, least ? OP_reduce_min : most ? OP_reduce_max : OP_reduce_sum, votes, 1, false);
    if (least || most) y = sel(c, ew1(c, OP_isinf, y), num(c, y, 0), y);
    return strcmp(how, "AVERAGE") == 0 ? ew2(c, OP_div, y, num(c, y, f->roots.n)) : y;
}

static Val base_values(Call *c, Val y) {
    FloatVec base = {0};
    if (!y.id || !numbers(c, "base_values_as_tensor", "base_values", &base) || base.n == 0) return y;
    Dims d = {.n = 1, .at = {dim_k(c, base.n)}};
    return ew2(c, OP_add, y, floats_table(c, val_dtype(c->g, y), base.at, base.n, &d));
}

static Val post_transform(Call *c, Val y, const char *how) {
    if (!y.id || strcmp(how, "NONE") == 0) return y;
    if (strcmp(how, "LOGISTIC") == 0) return ew1(c, OP_sigmoid, y);
    if (strcmp(how, "SOFTMAX") == 0) return soft(c, OP_softmax, y, 1);
    if (strcmp(how, "SOFTMAX_ZERO") == 0) {
        Val zero = ew2(c, OP_eq, y, num(c, y, 0));
        return sel(c, zero, num(c, y, 0), soft(c, OP_softmax, sel(c, zero, num(c, y, -INFINITY), y), 1));
    }
    return fail(c, "post_transform '%s' is not supported", how);
}

static Val forest_operand(Call *c, Forest *f) {
    Val x = in(c, 0);
    if (!x.id) return x;
    if (val_rank(c->g, x) == 1) x = unsqueezed(c, x, 0);
    if (val_rank(c->g, x) != 2) return fail(c, "needs an operand of rank 2, found %u", val_rank(c->g, x));
    f->dtype = val_dtype(c->g, x) == DT_f64 ? DT_f64 : DT_f32;
    return to(c, x, f->dtype);
}

Val import_tree_ensemble(Call *c) {
    static const char *const how[] = {"AVERAGE", "SUM", "MIN", "MAX"}, *const post[] = {"NONE", "SOFTMAX", "LOGISTIC",
                                                                                        "SOFTMAX_ZERO", "PROBIT"};
    int64_t aggregate = attr_i(c, "aggregate_function", 1), transform = attr_i(c, "post_transform", 0);
    Forest f = {0};
    Val x = forest_operand(c, &f);
    if (!x.id || !read_nodes_v5(c, &f) || !check_forest(c, &f)) return NO_VAL;
    if (aggregate < 0 || aggregate > 3 || transform < 0 || transform > 4)
        return fail(c, "aggregate_function %lld or post_transform %lld is not known", (long long)aggregate,
                    (long long)transform);
    return post_transform(c, ballot(c, &f, leaves(c, &f, x), how[aggregate]), post[transform]);
}

Val import_tree_regressor(Call *c) {
    Forest f = {0};
    Val x = forest_operand(c, &f);
    f.targets = attr_i(c, "n_targets", 1);
    if (!x.id || !read_nodes_classic(c, &f, "target") || !check_forest(c, &f)) return NO_VAL;
    Val y = base_values(c, ballot(c, &f, leaves(c, &f, x), attr_s(c, "aggregate_function", "SUM")));
    return to(c, post_transform(c, y, attr_s(c, "post_transform", "NONE")), DT_f32);
}

/* One vote column for two classes: the other is its complement. */
static Val two_classes(Call *c, Val y, bool probabilities) {
    Val pair[2] = {probabilities ? ew2(c, OP_sub, num(c, y, 1), y) : ew1(c, OP_neg, y), y};
    return pair[0].id ? b_concat(c->g, c->loc, pair, 2, 1) : NO_VAL;
}

Val import_tree_classifier(Call *c) {
    Forest f = {0};
    Val x = forest_operand(c, &f);
    const IntVec *labels = attr_list(c, "classlabels_int64s"), *ids = attr_list(c, "class_ids");
    const char *post = attr_s(c, "post_transform", "NONE");
    if (!x.id) return x;
    if (!labels || !ids || labels->n == 0) return fail(c, "only integer class labels are supported");
    int64_t highest = 0;
    for (uint32_t i = 0; i < ids->n; i++) highest = ids->at[i] > highest ? ids->at[i] : highest;
    bool binary = labels->n == 2 && highest == 0;
    f.targets = binary ? 1 : labels->n;
    if (!read_nodes_classic(c, &f, "class") || !check_forest(c, &f)) return NO_VAL;
    Val y = base_values(c, ballot(c, &f, leaves(c, &f, x), "SUM")), best;
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 1}, {.key = ATTR_last, .as.i = 0}};
    if (!y.id) return y;
    if (binary) {
        bool weights_positive = true;
        for (uint32_t i = 0; i < f.votes.n; i++) weights_positive = weights_positive && f.votes.at[i].weight >= 0;
        bool probability = strcmp(post, "NONE") == 0 && weights_positive;
        best = to(c, greater(c, squeezed(c, y, 1), num(c, y, probability ? 0.5 : 0)), DT_i64);
        y = probability || strcmp(post, "LOGISTIC") == 0 ? two_classes(c, post_transform(c, y, post), true)
                                                         : post_transform(c, two_classes(c, y, false), post);
    } else {
        best = emit(c->g, OP_arg_max, c->loc, &y, 1, attrs, 2);
        y = post_transform(c, y, post);
    }
    set_out(c, 1, to(c, y, DT_f32));
    return best.id ? b_gather(c->g, c->loc, b_ints(c->g, c->loc, labels->at, labels->n), best, 0, 0) : best;
}
