/* host_profile.c: launches that report what they take, in builds with a profile.
 *
 * Around a launch the host program calls the runtime (runtime/profile.c): begin tells the time where somebody observes, end
 * passes on the launch's work, computed here from the symbols of the run, those found while running included.
 */
#include "program.h"

void program_declare_profile(Program *p) {
    LParam frame = {.name = "frame", .type = lt_pointer(DT_u64)}, kernel = {.name = "kernel", .type = lt_scalar(DT_i64)};
    LParam begin = {.name = "begin", .type = lt_scalar(DT_i64)}, work = {.name = "work", .type = lt_pointer(DT_i64)};
    loop_end(loop_begin(p->m, "ingot_rt_begin", LF_EXTERN, &frame, 1, lt_scalar(DT_i64)));
    loop_end(loop_begin(p->m, "ingot_rt_end", LF_EXTERN, (LParam[]){frame, kernel, begin, work}, 4, (LType){0}));
}

LVal program_launch_begins(Program *p) { return l_call(p->b, "ingot_rt_begin", lt_scalar(DT_i64), &p->frame, 1); }

/* After the launch of kernel node n, whose symbols are all bound now. */
void program_launch_ended(Program *p, const Graph *g, const Node *n, const KernelEntry *e, LVal begin) {
    LoopBuilder *b = p->b;
    Context *cx = p->cx;
    uint32_t number = p->facts->launches.n - 1;
    GraphWork w = graph_work(e->body);
    Dim zero = dim_const(cx, 0);
    Dim amount[WORK_SLOTS] = {[WORK_FLOPS] = w.flops, [WORK_READ] = zero, [WORK_WRITTEN] = w.written, [WORK_WEIGHTS] = zero};
    for (uint32_t i = 0; i < n->n_in; i++) {
        bool weights = val_op(g, graph_memory(g, n->in[i], NULL)) == OP_const;
        amount[WORK_READ] = dim_add(cx, amount[WORK_READ], w.read[i]);
        if (weights) amount[WORK_WEIGHTS] = dim_add(cx, amount[WORK_WEIGHTS], w.read[i]);
    }
    LaunchFact fact = {e->name, template_name[e->schedule[0].field[SCHED_template_]]};
    vec_push(p->arena, &p->facts->launch_facts, fact);
    LIf observed = l_if(b, l_bin(b, LOP_ne, begin, l_i64(b, 0)));
    LVal work = l_alloc(b, DT_i64, WORK_SLOTS);
    for (uint32_t i = 0; i < WORK_SLOTS; i++) l_store(b, work, l_i64(b, i), program_dim(p, amount[i]), (LVal){0});
    (void)l_call(b, "ingot_rt_end", (LType){0}, (LVal[]){p->frame, l_i64(b, number), begin, work}, 4);
    l_else(b, &observed, NULL, 0);
    l_if_end(b, &observed, NULL, 0, NULL);
}
