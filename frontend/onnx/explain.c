/* explain.c: the table of operators, and what of a model the importer does not know.
 *
 * onnx_explain looks at every node of every graph, subgraph and function against the table, at every element type and
 * attribute, and then imports: what the table cannot tell (a mode, a rank, an axis known too late) the diagnostics do.
 */
#include "onnx.h"
#include <stdlib.h>
#include <string.h>

const OnnxRow onnx_rows[] = {
#define ONNX(domain, op, since, fn, param, shape, inputs, attrs)                                                       \
    {domain, op, since, import_##fn, param, shape_##shape, inputs, attrs},
#include "onnx_ops.def"
};
const uint32_t n_onnx_rows = COUNT(onnx_rows);

const OnnxRow *onnx_row(const char *domain, const char *op) {
    for (uint32_t i = 0; i < n_onnx_rows; i++)
        if (onnx_rows[i].op[0] == op[0] && strcmp(onnx_rows[i].op, op) == 0 && strcmp(onnx_rows[i].domain, domain) == 0)
            return &onnx_rows[i];
    return NULL;
}

typedef struct Issue {
    OnnxIssueKind kind;
    const char *subject, *detail;
    int64_t opset;
    uint32_t count;
    VEC(const char *) nodes;
} Issue;
typedef struct Explainer {
    Context *cx;
    const OnnxModel *model;
    OnnxExplanation *to;
    VEC(Issue) issues;
    VEC(OnnxOpCount) ops;
} Explainer;

enum { NODES_NAMED = 8 };

static void add_issue(Explainer *e, OnnxIssueKind kind, const char *subject, const char *detail, int64_t opset,
                      const char *node_) {
    Issue *issue = NULL;
    for (uint32_t i = 0; i < e->issues.n && !issue; i++)
        if (e->issues.at[i].kind == kind && e->issues.at[i].subject == subject && e->issues.at[i].detail == detail)
            issue = &e->issues.at[i];
    if (!issue) {
        vec_push(e->cx->arena, &e->issues, (Issue){.kind = kind, .subject = subject, .detail = detail, .opset = opset});
        issue = &vec_last(&e->issues);
    }
    issue->count++;
    if (issue->nodes.n < NODES_NAMED) vec_push(e->cx->arena, &issue->nodes, node_);
}

static const char *full_name(Explainer *e, const OnnxNode *n) {
    return intern(e->cx, arena_print(e->cx->arena, "%s%s%s", n->domain, n->domain[0] ? "." : "", n->op));
}

static void count_op(Explainer *e, const char *name, bool known) {
    for (uint32_t i = 0; i < e->ops.n; i++)
        if (e->ops.at[i].op == name) {
            e->ops.at[i].count++;
            return;
        }
    vec_push(e->cx->arena, &e->ops, (OnnxOpCount){name, 1, known});
}

static int64_t opset_of(const OnnxOpset *opsets, uint32_t n, const char *domain) {
    int64_t version = 0;
    for (uint32_t i = 0; i < n; i++)
        if (opsets[i].domain == domain) version = opsets[i].version;
    return version;
}

static bool has_word(const char *words, const char *word) {
    size_t n = strlen(word);
    if (n == 0) return false;
    for (const char *p = words; (p = strstr(p, word)) != NULL; p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

static bool model_function(const OnnxModel *m, const OnnxNode *n) {
    for (uint32_t i = 0; i < m->n_functions; i++)
        if (m->functions[i].name == n->op && m->functions[i].domain == n->domain) return true;
    return false;
}

static void explain_dtype(Explainer *e, int64_t type, const char *where) {
    if (type == 0 || dtype_by_onnx(type) != DT_none) return;
    const char *name = type == 8 ? "string" : type == 14 ? "complex64" : type == 15 ? "complex128" : "unknown";
    add_issue(e, ONNX_ISSUE_DTYPE, intern(e->cx, name), "", 0, where);
}

static void explain_nodes(Explainer *e, const OnnxNode *nodes, uint32_t n, const OnnxOpset *opsets, uint32_t n_opsets,
                          uint32_t depth);

static void explain_graph(Explainer *e, const OnnxGraph *g, const OnnxOpset *opsets, uint32_t n_opsets,
                          uint32_t depth) {
    e->to->initializers += g->n_initializers;
    for (uint32_t i = 0; i < g->n_initializers; i++)
        explain_dtype(e, g->initializers[i].data_type, g->initializers[i].name);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (g->inputs[i].type->kind == ONNX_TYPE_TENSOR)
            explain_dtype(e, g->inputs[i].type->element, g->inputs[i].name);
    explain_nodes(e, g->nodes, g->n_nodes, opsets, n_opsets, depth);
}

static void explain_nodes(Explainer *e, const OnnxNode *nodes, uint32_t n, const OnnxOpset *opsets, uint32_t n_opsets,
                          uint32_t depth) {
    e->to->nodes += n;
    for (uint32_t i = 0; i < n; i++) {
        const OnnxNode *node_ = &nodes[i];
        const char *name = full_name(e, node_), *label = node_->name[0] ? node_->name
                                                         : node_->n_out ? node_->out[0]
                                                                        : "";
        const OnnxRow *row = onnx_row(node_->domain, node_->op);
        bool known = row || model_function(e->model, node_);
        int64_t opset = opset_of(opsets, n_opsets, node_->domain);
        count_op(e, name, known);
        if (!known) add_issue(e, ONNX_ISSUE_OP, name, "", opset, label);
        for (uint32_t a = 0; a < node_->n_attrs; a++) {
            const OnnxAttr *attr = &node_->attrs[a];
            if (row && !model_function(e->model, node_) && !has_word(row->attrs, attr->name))
                add_issue(e, ONNX_ISSUE_ATTRIBUTE, intern(e->cx, arena_print(e->cx->arena, "%s.%s", name, attr->name)),
                          row->attrs, opset, label);
            if (attr->t) explain_dtype(e, attr->t->data_type, label);
            if (attr->g && depth < ONNX_DEPTH) explain_graph(e, attr->g, opsets, n_opsets, depth + 1);
        }
    }
}

static void explain_opsets(Explainer *e) {
    for (uint32_t i = 0; i < e->model->n_opsets; i++) {
        const OnnxOpset *o = &e->model->opsets[i];
        if (!o->domain[0] && o->version > ONNX_LATEST)
            add_issue(e, ONNX_ISSUE_OPSET, intern(e->cx, "opset"),
                      intern(e->cx, arena_print(e->cx->arena, "operators are followed up to opset %d", ONNX_LATEST)),
                      o->version, "");
    }
}

/* What the import says beyond the table; its diagnostics are taken out again. */
static void explain_import(Explainer *e, const char *file, const ImportOptions *options) {
    uint32_t before = diag_count(e->cx);
    import_model(e->cx, file, e->model, options);
    for (uint32_t i = before; i < diag_count(e->cx); i++) {
        const Diag *d = diag_at(e->cx, i);
        if (d->kind != DIAG_ERROR || strncmp(d->text, "operator ", 9) == 0 || strncmp(d->text, "attribute '", 11) == 0)
            continue;
        add_issue(e, ONNX_ISSUE_IMPORT, intern(e->cx, d->text), "", 0, loc_string(e->cx, d->loc));
    }
    diag_truncate(e->cx, before);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const OnnxOpCount *)a)->op, ((const OnnxOpCount *)b)->op);
}

bool onnx_explain(Context *cx, const char *file, const uint8_t *bytes, size_t n, const ImportOptions *options,
                  OnnxExplanation *to_) {
    Explainer explainer = {.cx = cx, .to = to_}, *e = &explainer;
    *to_ = (OnnxExplanation){0};
    const OnnxModel *m = e->model = onnx_model(cx, file, bytes, n);
    if (!m) return false;
    to_->ir_version = m->ir_version, to_->producer = m->producer, to_->functions = m->n_functions;
    to_->opset = opset_of(m->opsets, m->n_opsets, intern(cx, ""));
    explain_opsets(e);
    explain_graph(e, m->graph, m->opsets, m->n_opsets, 0);
    for (uint32_t i = 0; i < m->n_functions; i++)
        explain_nodes(e, m->functions[i].nodes, m->functions[i].n_nodes, m->functions[i].opsets,
                      m->functions[i].n_opsets, 0);
    explain_import(e, file, options);
    if (e->ops.n) qsort(e->ops.at, e->ops.n, sizeof *e->ops.at, by_name);
    OnnxIssue *issues = arena_new_array(cx->arena, OnnxIssue, e->issues.n + 1);
    for (uint32_t i = 0; i < e->issues.n; i++) {
        const Issue *from = &e->issues.at[i];
        issues[i] = (OnnxIssue){from->kind,  from->subject,  from->detail, from->opset,
                                from->count, from->nodes.at, from->nodes.n};
    }
    to_->issues = issues, to_->n_issues = e->issues.n;
    to_->ops = e->ops.at, to_->n_ops = e->ops.n;
    return true;
}
