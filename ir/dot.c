/* dot.c: a graph as Graphviz text, for people: one box a node, constants and parameters in grey,
 * regions as clusters. */
#include "ir.h"

typedef struct Dot {
    const Graph *g;
    Text *out;
    uint32_t clusters; /* numbered in order of appearance */
} Dot;

static void dot_label(Dot *d, const Graph *g, const Node *n) {
    Text label = text_new(g->cx->arena);
    const Attr *name = node_attr(n, ATTR_name);
    text_add(&label, "%s%s%s\n", op_info[n->op].name, name ? " " : "", name ? name->as.text : "");
    type_print(g->cx, &label, n->type);
    if (n->loc.id)
        text_add(&label, "\n%s", loc_string(g->cx, n->loc));
    text_quote(d->out, label.at);
}

static void dot_graph(Dot *d, const Graph *g, uint32_t cluster) {
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        const char *fill = op_info[n->op].kind == KIND_SOURCE ? "gray90" : "white";
        text_add(d->out, "  n%u_%u [fillcolor=%s, label=", cluster, id, fill);
        dot_label(d, g, n);
        text_add(d->out, "];\n");
        for (uint32_t i = 0; i < n->n_in; i++)
            text_add(d->out, "  n%u_%u -> n%u_%u;\n", cluster, n->in[i].id, cluster, id);
        for (uint32_t i = 0; i < n->n_attrs; i++) {
            if (attr_info[n->attrs[i].key].type != AT_GRAPH)
                continue;
            uint32_t inner = ++d->clusters;
            text_add(d->out, "  subgraph cluster_%u {\n  label=\"%s of %%%u\";\n", inner,
                     attr_info[n->attrs[i].key].name, id);
            dot_graph(d, n->attrs[i].as.graph, inner);
            text_add(d->out, "  }\n");
        }
    }
    for (uint32_t i = 0; i < g->results.n; i++) {
        text_add(d->out, "  r%u_%u [shape=plaintext, label=", cluster, i);
        text_quote(d->out, g->result_names.at[i]);
        text_add(d->out, "];\n  n%u_%u -> r%u_%u;\n", cluster, g->results.at[i].id, cluster, i);
    }
}

void graph_dot(const Graph *g, Text *out) {
    Dot d = {.g = g, .out = out};
    text_add(out, "digraph ");
    text_quote(out, g->name);
    text_add(out, " {\n  node [shape=box, style=filled, fontname=monospace];\n");
    dot_graph(&d, g, 0);
    text_add(out, "}\n");
}
