/* settings.c: the options of a command as settings of the library. */
#define _GNU_SOURCE
#include "command.h"
#include <stdlib.h>
#include <string.h>

int read_limits(const Arguments *a, uint64_t *memory_limit, double *time_limit) {
    const char *text = a->value[OPT_limits];
    if (!text) return EXIT_YES;
    char *end;
    double memory = strtod(text, &end);
    if (*end == 'K') memory *= 1024, end++;
    else if (*end == 'M') memory *= 1048576, end++;
    else if (*end == 'G') memory *= 1073741824, end++;
    if (end == text) memory = 0;
    if (*end == ',') {
        const char *from = end + 1;
        *time_limit = strtod(from, &end);
        if (end == from) end = (char *)(uintptr_t)text;
    }
    if (!*text || *end || memory < 0 || memory > 1e15 || *time_limit < 0)
        return fail_usage("--limits=%s: expected memory and seconds, such as 2G,60", text);
    *memory_limit = (uint64_t)memory;
    return EXIT_YES;
}

static int read_constants(const Arguments *a, Prepared *p) {
    p->constants = calloc(a->constants.n + 1, sizeof *p->constants);
    if (!p->constants) return fail_machine("out of memory");
    p->settings.constants = p->constants;
    for (uint32_t i = 0; i < a->constants.n; i++) {
        const char *text = a->constants.at[i], *eq = strrchr(text, '=');
        char why[256];
        if (!eq || eq == text) return fail_usage("--constant=%s: expected NAME=X.npy", text);
        ingot_constant *c = &p->constants[i];
        char *name = strndup(text, (size_t)(eq - text));
        if (!name) return fail_machine("out of memory");
        c->name = name;
        p->settings.n_constants = i + 1;
        int status = npy_read(eq + 1, &c->tensor, why);
        if (status) return status == EXIT_MACHINE ? fail_machine("%s", why) : fail_no("%s", why);
    }
    return EXIT_YES;
}

int prepare(Arguments *a, Prepared *p) {
    static const struct { Option option; uint32_t flag; } flags[] = {
        {OPT_symbolic, INGOT_SYMBOLIC}, {OPT_verify_each, INGOT_VERIFY}, {OPT_check_each, INGOT_CHECK},
        {OPT_time_passes, INGOT_TIME},  {OPT_freestanding, INGOT_BARE},  {OPT_threads, INGOT_THREADS},
        {OPT_profile, INGOT_PROFILE}, {OPT_trace, INGOT_PROFILE}};
    *p = (Prepared){0};
    ingot_settings *s = &p->settings;
    s->size = sizeof *s;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (a->value[flags[i].option]) s->flags |= flags[i].flag;
    s->name = a->value[OPT_name], s->cpu = a->value[OPT_cpu], s->backend = a->value[OPT_backend], s->emit = a->value[OPT_emit];
    s->donate = a->value[OPT_donate];
    s->target = a->value[OPT_target], s->numerics = a->value[OPT_numerics], s->precision = a->value[OPT_precision];
    s->dims = a->dims.at, s->n_dims = a->dims.n;
    s->print_after = a->value[OPT_print_after], s->stop_after = a->value[OPT_stop_after];
    s->passes = a->value[OPT_passes], s->dump_folder = a->value[OPT_dump_dir], s->schedule = a->value[OPT_schedule];
    message_callbacks(s);
    s->reproducer = write_reproducer, s->user = a;
    uint64_t self_tests = 0;
    if (!option_count(a, OPT_self_test, 1, 1000, &self_tests)) return EXIT_USAGE;
    s->self_tests = (uint32_t)self_tests;
    int status = read_limits(a, &s->memory_limit, &s->time_limit);
    return status ? status : read_constants(a, p);
}

void prepared_free(Prepared *p) {
    for (uint32_t i = 0; p->constants && i < p->settings.n_constants; i++) {
        free((char *)(uintptr_t)p->constants[i].name);
        free(p->constants[i].tensor.data);
    }
    free(p->constants);
    progress_end();
}
