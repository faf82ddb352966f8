/* mutate_graph.c: mutations of a model's structure: nodes and edges, inputs and initializers, subgraphs and functions. */
#include "mutate.h"
#include <string.h>

enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP = 4 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

static bool pick_part(Mutant *m, Piece *p, uint32_t field, uint32_t *index) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->parts.n; i++)
        if (p->parts.at[i]->field == field && random_below(&m->random, ++n) == 0) *index = i;
    return n > 0;
}

static uint32_t count_parts(const Piece *p, uint32_t field) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->parts.n; i++) n += p->parts.at[i]->field == field;
    return n;
}

/* A name that means something in g: an input, an initializer, an output of a node. */
static const char *known_name_before(Mutant *m, const Piece *g, uint32_t index) {
    const char *chosen = "";
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->parts.n; i++) {
        const Piece *p = g->parts.at[i];
        if (p->message == MSG_NODE && i >= index) continue;
        uint32_t field = p->message == MSG_NODE ? NODE_OUTPUT : p->message == MSG_TENSOR ? 8 : p->message == MSG_VALUE ? 1 : 0;
        if (field && tree_part(p, field) && random_below(&m->random, ++n) == 0) chosen = tree_text(m->arena, p, field);
    }
    return chosen;
}

static const char *known_name(Mutant *m, const Piece *g) { return known_name_before(m, g, UINT32_MAX); }

static const char *fresh_name(Mutant *m) { return arena_print(m->arena, "fresh%u", random_below(&m->random, 1000)); }

static void set_bytes(Mutant *m, Piece *p, const char *text) {
    p->kind = PIECE_BYTES, p->message = MSG_NONE;
    p->n = strlen(text);
    p->bytes = arena_copy(m->arena, text, p->n);
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static bool node_op(Mutant *m) {
    Piece *n = mutant_pick(m, MSG_NODE);
    for (uint32_t tries = 0; n && tries < 6; tries++) {
        Piece *other = mutant_donor(m, MSG_NODE);
        if (!other || (tries < 5 && count_parts(other, NODE_INPUT) != count_parts(n, NODE_INPUT))) continue;
        tree_set_text(m->arena, n, NODE_OP, tree_text(m->arena, other, NODE_OP));
        return true;
    }
    return false;
}

static bool node_drop(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i)) return false;
    tree_remove(g, i);
    return true;
}

static bool node_repeat(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i)) return false;
    Piece *copy = tree_copy(m->arena, g->parts.at[i]);
    if (random_chance(&m->random, 80))
        for (uint32_t k = 0; k < copy->parts.n; k++)
            if (copy->parts.at[k]->field == NODE_OUTPUT) set_bytes(m, copy->parts.at[k], fresh_name(m));
    tree_insert(m->arena, g, random_below(&m->random, g->parts.n), copy);
    return true;
}

static bool node_move(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0, k = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i) || !pick_part(m, g, GRAPH_NODE, &k) || i == k) return false;
    Piece *p = g->parts.at[i];
    g->parts.at[i] = g->parts.at[k];
    g->parts.at[k] = p;
    return true;
}

static bool edge(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0, k = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i) || !pick_part(m, g->parts.at[i], NODE_INPUT, &k)) return false;
    Piece *n = g->parts.at[i];
    uint32_t how = random_below(&m->random, 20);
    set_bytes(m, n->parts.at[k],
              how < 2    ? known_name(m, g)
              : how < 17 ? known_name_before(m, g, i)
              : how < 18 ? tree_text(m->arena, n, NODE_OUTPUT)
              : how < 19 ? ""
                         : fresh_name(m));
    return true;
}

static bool input_count(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0, k = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i)) return false;
    Piece *n = g->parts.at[i];
    if (random_chance(&m->random, 50) && pick_part(m, n, NODE_INPUT, &k)) tree_remove(n, k);
    else set_bytes(m, tree_add(m->arena, n, NODE_INPUT, PIECE_BYTES, MSG_NONE), known_name_before(m, g, i));
    return true;
}

static bool output_name(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0, k = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i) || !pick_part(m, g->parts.at[i], NODE_OUTPUT, &k)) return false;
    Piece *n = g->parts.at[i];
    switch (random_below(&m->random, 4)) {
    case 0: set_bytes(m, n->parts.at[k], known_name(m, g)); break;
    case 1: tree_remove(n, k); break;
    case 2: set_bytes(m, n->parts.at[k], ""); break;
    default: set_bytes(m, tree_add(m->arena, n, NODE_OUTPUT, PIECE_BYTES, MSG_NONE), fresh_name(m));
    }
    return true;
}

/* A result that the model did not have: dead nodes and untyped values come alive. */
static bool graph_output(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g) return false;
    if (random_chance(&m->random, 50)) {
        Piece *v = tree_add(m->arena, g, GRAPH_OUTPUT, PIECE_BYTES, MSG_VALUE);
        tree_set_text(m->arena, v, 1, known_name(m, g));
        return true;
    }
    if (!pick_part(m, g, GRAPH_OUTPUT, &i)) return false;
    if (random_chance(&m->random, 80)) tree_set_text(m->arena, g->parts.at[i], 1, known_name(m, g));
    else tree_remove(g, i);
    return true;
}

/* Some other model's node at the end of this one, over this one's values. */
static bool splice(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH), *n = g ? mutant_donor(m, MSG_NODE) : NULL;
    if (!n) return false;
    const char *last = NULL;
    uint32_t at = random_below(&m->random, g->parts.n);
    n->field = GRAPH_NODE;
    for (uint32_t k = 0; k < n->parts.n; k++) {
        Piece *p = n->parts.at[k];
        if (p->field == NODE_INPUT && p->n) set_bytes(m, p, known_name_before(m, g, at));
        if (p->field == NODE_OUTPUT) set_bytes(m, p, last = fresh_name(m));
    }
    tree_insert(m->arena, g, at, n);
    if (last) tree_set_text(m->arena, tree_add(m->arena, g, GRAPH_OUTPUT, PIECE_BYTES, MSG_VALUE), 1, last);
    return true;
}

/* ---- inputs and initializers ------------------------------------------------------------------------------------------ */

static uint64_t type_bytes(uint64_t code) {
    return code == 7 || code == 11 || code == 13                ? 8
           : code == 1 || code == 6 || code == 12               ? 4
           : code == 4 || code == 5 || code == 10 || code == 16 ? 2
                                                                : 1;
}

/* An input becomes a constant with small elements, which takes whatever follows into folding. */
static bool freeze_input(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g || !pick_part(m, g, GRAPH_INPUT, &i)) return false;
    Piece *v = g->parts.at[i], *type = tree_part(v, 2), *tensor = type ? tree_part(type, 1) : NULL,
          *shape = tensor ? tree_part(tensor, 2) : NULL;
    if (!shape || !tree_part(tensor, 1)) return false;
    uint64_t code = tree_part(tensor, 1)->value, n = 1;
    Piece *t = tree_add(m->arena, g, GRAPH_INITIALIZER, PIECE_BYTES, MSG_TENSOR);
    for (uint32_t k = 0; k < shape->parts.n; k++) {
        Piece *d = tree_part(shape->parts.at[k], 1);
        uint64_t extent = d && d->value < 4096 ? d->value : 3;
        tree_add(m->arena, t, 1, PIECE_VARINT, MSG_NONE)->value = extent;
        n = n * extent > 65536 ? 65536 : n * extent;
    }
    tree_set_number(m->arena, t, 2, (int64_t)code);
    tree_set_text(m->arena, t, 8, tree_text(m->arena, v, 1));
    Piece *raw = tree_add(m->arena, t, 9, PIECE_BYTES, MSG_NONE);
    raw->n = (size_t)(n * type_bytes(code));
    uint8_t *bytes = arena_alloc(m->arena, raw->n + 1);
    for (uint64_t k = 0; k < n; k++) {
        float f = (float)random_below(&m->random, 7) - 3;
        if (code == 1) memcpy(bytes + k * 4, &f, 4);
        else bytes[k * type_bytes(code)] = (uint8_t)random_below(&m->random, 3);
    }
    raw->bytes = bytes;
    if (random_chance(&m->random, 80)) tree_remove(g, i);
    return true;
}

static bool thaw_initializer(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g || !pick_part(m, g, GRAPH_INITIALIZER, &i)) return false;
    Piece *t = g->parts.at[i], *v = tree_add(m->arena, g, GRAPH_INPUT, PIECE_BYTES, MSG_VALUE);
    tree_set_text(m->arena, v, 1, tree_text(m->arena, t, 8));
    Piece *type = tree_add(m->arena, v, 2, PIECE_BYTES, MSG_TYPE),
          *tensor = tree_add(m->arena, type, 1, PIECE_BYTES, MSG_TENSOR_TYPE);
    tree_set_number(m->arena, tensor, 1, tree_part(t, 2) ? (int64_t)tree_part(t, 2)->value : 1);
    Piece *shape = tree_add(m->arena, tensor, 2, PIECE_BYTES, MSG_SHAPE);
    for (uint32_t k = 0; k < t->parts.n; k++)
        if (t->parts.at[k]->field == 1)
            tree_set_number(m->arena, tree_add(m->arena, shape, 1, PIECE_BYTES, MSG_DIM), 1, (int64_t)t->parts.at[k]->value);
    tree_remove(g, i);
    return true;
}

/* ---- subgraphs and functions -------------------------------------------------------------------------------------------- */

/* A subgraph's node holds a copy of the subgraph around it, again and again. */
static bool deepen(Mutant *m) {
    Piece *holder = NULL;
    for (uint32_t tries = 0; tries < 10 && !holder; tries++) {
        Piece *a = mutant_pick(m, MSG_ATTRIBUTE);
        if (a && tree_part(a, 6)) holder = a;
    }
    if (!holder) return false;
    Piece *inner = tree_part(holder, 6);
    Piece *original = tree_copy(m->arena, inner), *node_around = NULL;
    for (uint32_t i = 0; i < m->found[MSG_NODE].n; i++) {
        Piece *n = m->found[MSG_NODE].at[i];
        for (uint32_t k = 0; k < n->parts.n; k++)
            if (n->parts.at[k] == holder) node_around = n;
    }
    if (!node_around) return false;
    Piece *template = tree_copy(m->arena, node_around);
    template->field = GRAPH_NODE;
    uint32_t depth = random_chance(&m->random, 60) ? 1 + random_below(&m->random, 4) : 80;
    for (uint32_t i = 0; i < depth && inner; i++) {
        Piece *n = tree_copy(m->arena, template);
        tree_insert(m->arena, inner, 0, n);
        Piece *next = NULL;
        for (uint32_t k = 0; k < n->parts.n; k++)
            if (n->parts.at[k]->message == MSG_ATTRIBUTE && tree_part(n->parts.at[k], 6)) next = tree_part(n->parts.at[k], 6);
        inner = next;
    }
    return original != NULL;
}

static bool swap_graph(Mutant *m) {
    Piece *to = mutant_pick(m, MSG_GRAPH), *from = mutant_pick(m, MSG_GRAPH);
    if (random_chance(&m->random, 50)) from = mutant_donor(m, MSG_GRAPH);
    if (!to || !from || from == to) return false;
    Piece *copy = tree_copy(m->arena, from);
    copy->field = to->field;
    if (copy->n > 16384) return false;
    *to = *copy;
    return true;
}

/* The graph's values inside an If that asks for one of them: whatever the node was, its region sees captures alone. */
static bool wrap_in_if(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i)) return false;
    Piece *old = g->parts.at[i], *n = tree_copy(m->arena, old);
    n->parts.n = 0;
    set_bytes(m, tree_add(m->arena, n, NODE_INPUT, PIECE_BYTES, MSG_NONE), known_name(m, g));
    for (uint32_t k = 0; k < old->parts.n; k++)
        if (old->parts.at[k]->field == NODE_OUTPUT) vec_push(m->arena, &n->parts, tree_copy(m->arena, old->parts.at[k]));
    tree_set_text(m->arena, n, NODE_OP, "If");
    for (uint32_t branch = 0; branch < 2; branch++) {
        Piece *a = tree_add(m->arena, n, 5, PIECE_BYTES, MSG_ATTRIBUTE);
        tree_set_text(m->arena, a, 1, branch ? "else_branch" : "then_branch");
        tree_set_number(m->arena, a, 20, 5);
        Piece *body = tree_add(m->arena, a, 6, PIECE_BYTES, MSG_GRAPH);
        vec_push(m->arena, &body->parts, tree_copy(m->arena, old));
        tree_set_text(m->arena, body, 2, "branch");
        for (uint32_t k = 0; k < old->parts.n; k++)
            if (old->parts.at[k]->field == NODE_OUTPUT)
                tree_set_text(m->arena, tree_add(m->arena, body, GRAPH_OUTPUT, PIECE_BYTES, MSG_VALUE), 1,
                              arena_print(m->arena, "%.*s", (int)old->parts.at[k]->n, (const char *)old->parts.at[k]->bytes));
    }
    g->parts.at[i] = n;
    return true;
}

/* A node becomes the body of a function that it calls; one time in four the body calls the function itself. */
static bool outline(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    uint32_t i = 0;
    if (!g || !pick_part(m, g, GRAPH_NODE, &i)) return false;
    Piece *n = g->parts.at[i], *f = tree_add(m->arena, m->root, 25, PIECE_BYTES, MSG_FUNCTION), *body = tree_copy(m->arena, n);
    const char *name = arena_print(m->arena, "Outlined%u", random_below(&m->random, 3));
    tree_set_text(m->arena, f, 1, name);
    tree_set_text(m->arena, f, 10, "mutant");
    for (uint32_t k = 0; k < n->parts.n; k++) {
        Piece *p = n->parts.at[k];
        if (p->field == NODE_INPUT || p->field == NODE_OUTPUT) {
            Piece *copy = tree_copy(m->arena, p);
            copy->field = p->field == NODE_INPUT ? 4 : 5;
            vec_push(m->arena, &f->parts, copy);
        }
    }
    body->field = 7;
    if (random_chance(&m->random, 25)) {
        tree_set_text(m->arena, body, NODE_OP, name);
        tree_set_text(m->arena, body, 7, "mutant");
    }
    vec_push(m->arena, &f->parts, body);
    for (uint32_t k = 0; k < m->root->parts.n; k++)
        if (m->root->parts.at[k]->message == MSG_OPSET) {
            Piece *copy = tree_copy(m->arena, m->root->parts.at[k]);
            copy->field = 9;
            vec_push(m->arena, &f->parts, copy);
        }
    Piece *o = tree_add(m->arena, m->root, 8, PIECE_BYTES, MSG_OPSET);
    tree_set_text(m->arena, o, 1, "mutant");
    tree_set_number(m->arena, o, 2, 1);
    tree_set_text(m->arena, n, NODE_OP, name);
    tree_set_text(m->arena, n, 7, "mutant");
    return true;
}

/* x, x + x, (x + x) + (x + x) …: as text a doubling, as a graph a chain. */
static bool chain(Mutant *m) {
    Piece *g = mutant_pick(m, MSG_GRAPH);
    if (!g) return false;
    const char *name = known_name(m, g);
    static const char *const ops[] = {"Add", "Mul", "MatMul", "Concat", "Sub", "Max", "Pow", "Mod", "Where", "Gather"};
    const char *op = ops[random_below(&m->random, (uint32_t)COUNT(ops))];
    for (uint32_t i = 0, n = 2 + random_below(&m->random, 30); i < n; i++) {
        Piece *node = tree_add(m->arena, g, GRAPH_NODE, PIECE_BYTES, MSG_NODE);
        for (uint32_t k = 0; k < (op[0] == 'W' ? 3 : 2); k++)
            set_bytes(m, tree_add(m->arena, node, NODE_INPUT, PIECE_BYTES, MSG_NONE), name);
        name = arena_print(m->arena, "chain%u_%u", random_below(&m->random, 1000), i);
        set_bytes(m, tree_add(m->arena, node, NODE_OUTPUT, PIECE_BYTES, MSG_NONE), name);
        tree_set_text(m->arena, node, NODE_OP, op);
        if (op[0] != 'C') continue;
        Piece *a = tree_add(m->arena, node, 5, PIECE_BYTES, MSG_ATTRIBUTE);
        tree_set_text(m->arena, a, 1, "axis");
        tree_set_number(m->arena, a, 3, 0);
        tree_set_number(m->arena, a, 20, 2);
    }
    tree_set_text(m->arena, tree_add(m->arena, g, GRAPH_OUTPUT, PIECE_BYTES, MSG_VALUE), 1, name);
    return true;
}

const Mutation structure_mutations[] = {
    {"node_op", node_op, 14},
    {"node_drop", node_drop, 2},
    {"node_repeat", node_repeat, 3},
    {"node_move", node_move, 2},
    {"edge", edge, 8},
    {"input_count", input_count, 3},
    {"output_name", output_name, 3},
    {"graph_output", graph_output, 3},
    {"splice", splice, 12},
    {"freeze_input", freeze_input, 10},
    {"thaw_initializer", thaw_initializer, 4},
    {"deepen", deepen, 2},
    {"swap_graph", swap_graph, 2},
    {"wrap_in_if", wrap_in_if, 3},
    {"outline", outline, 3},
    {"chain", chain, 2},
};
const uint32_t n_structure_mutations = COUNT(structure_mutations);
