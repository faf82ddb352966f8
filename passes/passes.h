/* passes.h: Graph -> Graph.  The one header of this layer.
 *
 * A pass never changes its input, keeps types, parameters and results, and keeps the bits of every result (exact laws only);
 * `rescale`, `winograd`, `lines` and `narrow`, which run where they are asked for, round otherwise.
 * It returns NULL after a diagnostic.  Regions are closed graphs and go through every pass too.
 */
#pragma once
#include "ir.h"

typedef Graph *PassFn(Context *, const Graph *, const Tiers *);
typedef struct PassInfo { const char *name; PassFn *run; const char *doc; } PassInfo;
#define PASS(name, ...) PassFn pass_##name;
#include "passes.def"
extern const PassInfo pass_info[];
extern const uint32_t n_passes;
const PassInfo *pass_find(const char *name);

/* Rebuilds g around kernels: what every structural pass shares (passes.c).  Copies params, guards and bindings. */
Graph *rebuild_begin(const Graph *from, bool fold, Val *map /* [from->nodes.n], params filled in */);
/* n copied into `to` over mapped operands; its regions replaced by regions[i] in order of attributes (NULL: as they are). */
Val rebuild_node(Graph *to, const Node *n, const Val *map, const Graph *const *regions);

/* Some extent of a tensor type is only found while running. */
bool type_has_found(Context *, Type);

/* How an operand is read (operand.c): v is an affine view of `base`, which lives in memory: the offset is affine in every
 * axis of v.  A template may then form pointers and strides. */
bool operand_is_affine(const Graph *, Val v, Val *base, bool *contiguous /* along the last axis */);
/* v is views, a permutation among them, and walks through memory with a stride along its last axis. */
bool operand_strides(const Graph *, Val v);

/* pack.c: v is views of a dense constant at an affine address. */
bool find_view(const Graph *, Val v, ConstView *out);
/* A contraction of f32 or i32 whose right operand is packed where it is constant. */
bool wants_panels(const Graph *, const Node *);
Val rewrite_const(Rewrite *, Loc, Const, const TypeInfo *);
/* The contraction with these operands, K cut into chunks of so many. */
Val rewrite_chunk(Rewrite *, const Node *, const Val *in, int64_t chunk);

/* schedule.c: the body's nodes, as bits, that schedule field `stage` may name. */
int64_t schedule_stageable(Context *, const Graph *body);
/* A tile of that many panels lies in one group, where the body is a convolution of several; they divide a winograd's. */
bool schedule_panels_fit(Context *, const Graph *body, int64_t panels);
/* schedule.c: schedules by tier as an attribute has them: returns their number, 1 where they are the same; else they name their
 * tiers. */
uint32_t schedule_join(const Tiers *, Schedule *by_tier);
/* schedule_text.c: the schedules of all kernels, a line each; and a text of such lines over what pass `schedule` chose: NULL
 * after diagnostics at its places. */
void schedule_print(const Graph *, Text *out);
Graph *schedule_override(Context *, const Graph *, const Tiers *, const char *file, const char *text, size_t n);

/* work.c: lanes of instructions that a kernel takes at the hints, and elements of its first result. */
int64_t body_work(Context *, const Graph *body);
int64_t body_elements(Context *, const Graph *body);

/* template.c: the template that computes an anchor; and for a reduction over exactly the innermost axes (a row kernel) the
 * number of outer axes, else -1. */
Template anchor_template(const Graph *, const Node *anchor);
/* A depthwise convolution of images whose channels lie first: template `planes`, where its result is wanted so as well
 * (fuse). */
bool reads_planes(const Graph *, const Node *conv);
/* With so many filters a group, the convolution is one for template `grouped`. */
bool shares_vectors(const Graph *, const Node *conv, int64_t filters);
int reduces_rows(const Graph *, const Node *);
/* A grouped convolution and one of one tap that takes what is made of it, element by element: template `separable` computes
 * both where that pays. */
bool pays_as_separable(const Graph *, const Node *grouped, const Node *product, const Tiers *);

/* A convolution and windows over what is made of it, element by element: template `pooled` computes both where that pays. */
bool pays_as_pooled(const Graph *, const Node *conv, const Node *window, const Tiers *);

/* For a body without an anchor: the result axis along which everything it reads is contiguous, while nothing is along the
 * last; or -1. */
int crossed_axis(const Graph *body);

/* donate.c: the graph in which concat(input, ..), which makes the result, is written into the input.  ranges: what is known of
 * capacities, by name; used[i] where a cache has it.  NULL after a diagnostic. */
typedef struct Donation { const char *result, *param; } Donation;
typedef struct Donations {
    const Donation *at;
    const SymbolInfo *ranges;
    bool *used;
    uint32_t n, n_ranges;
} Donations;
Graph *graph_donate(Context *, const Graph *, const Donations *);

/* inplace.c: result `result` of a kernel's body may be written over parameter `operand`, element by element. */
bool overwrites_safely(const Graph *body, uint32_t operand, uint32_t result);
