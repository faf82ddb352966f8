/* run.c: ingot run. */
#define _GNU_SOURCE
#include "command.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *input_name(const void *entry, size_t i) { return ((const ingot_entry *)entry)->inputs[i]->name; }

/* NAME=X.npy; names may contain '='. */
static int read_input(Session *s, const char *text) {
    char why[256];
    for (uint32_t i = 0; i < s->entry->n_inputs; i++) {
        size_t n = strlen(s->entry->inputs[i]->name);
        if (strncmp(text, s->entry->inputs[i]->name, n) != 0 || text[n] != '=') continue;
        free(s->in[i].data);
        int status = npy_read(text + n + 1, &s->in[i], why);
        if (s->in[i].dtype == INGOT_U16 && s->entry->inputs[i]->dtype == INGOT_BF16) s->in[i].dtype = INGOT_BF16;
        return status == EXIT_MACHINE ? fail_machine("%s", why) : status ? fail_no("%s", why) : EXIT_YES;
    }
    const char *eq = strchr(text, '=');
    if (!eq) return fail_usage("'%s': expected NAME=X.npy", text);
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(eq - text < 120 ? eq - text : 120), text);
    const char *close = closest(name, input_name, s->entry, s->entry->n_inputs);
    return fail_usage("%s has no input '%s'%s%s%s", s->path, name, close ? " (did you mean '" : "", close ? close : "",
                      close ? "'?)" : "");
}

static int read_inputs(Session *s, Arguments *a) {
    for (uint32_t i = 1; i < a->rest.n; i++) {
        int status = read_input(s, a->rest.at[i]);
        if (status) return status;
    }
    if (a->value[OPT_random] || a->rest.n == 1) return EXIT_YES;
    for (uint32_t i = 0; i < s->entry->n_inputs; i++)
        if (!s->in[i].data)
            return fail_usage("input '%s' is not given: add %s=X.npy, or --random", s->entry->inputs[i]->name,
                              s->entry->inputs[i]->name);
    return EXIT_YES;
}

static int write_outputs(Session *s, const char *folder) {
    char path[4096], why[256];
    if (mkdir(folder, 0777) && errno != EEXIST) return fail_machine("cannot make the folder '%s': %s", folder, strerror(errno));
    for (uint32_t i = 0; i < s->entry->n_outputs; i++) {
        size_t at = (size_t)snprintf(path, sizeof path, "%s/", folder);
        snprintf(path + at, sizeof path - at, "%s.npy", s->entry->outputs[i]->name);
        for (char *p = path + at; *p; p++)
            if (*p == '/') *p = '_';
        if (npy_write(path, &s->out[i], why)) return fail_machine("%s", why);
    }
    return EXIT_YES;
}

static void print_outputs(Session *s) {
    for (uint32_t i = 0; i < s->entry->n_outputs; i++) {
        const ingot_tensor *t = &s->out[i];
        uint64_t n = element_count(t), each = ((t->dtype >> 8) + 7) / 8;
        printf("%s: ", s->entry->outputs[i]->name);
        print_shape(stdout, t);
        for (uint64_t k = 0; k < n && k < 10; k++) printf(" %.7g", ingot_element(t->dtype, (const char *)t->data + k * each));
        printf("%s\n", n > 10 ? " ..." : "");
    }
}

static void print_json(Session *s) {
    printf("{\"outputs\": [");
    for (uint32_t i = 0; i < s->entry->n_outputs; i++) {
        const ingot_tensor *t = &s->out[i];
        uint64_t n = element_count(t), each = ((t->dtype >> 8) + 7) / 8;
        printf("%s\n  {\"name\": ", i ? "," : "");
        json_string(stdout, s->entry->outputs[i]->name);
        printf(", \"dtype\": \"%s\", \"dims\": [", ingot_dtype_name(t->dtype));
        for (int32_t d = 0; d < t->rank; d++) printf("%s%lld", d ? ", " : "", (long long)t->dims[d]);
        printf("], \"first\": [");
        for (uint64_t k = 0; k < n && k < 10; k++) {
            if (k) printf(", ");
            json_number(stdout, ingot_element(t->dtype, (const char *)t->data + k * each));
        }
        printf("]}");
    }
    printf("]}\n");
}

int command_run(Arguments *a) {
    uint64_t threads = 1, seed = 1;
    Session s = {0};
    if (!a->rest.n) return fail_usage("no library or model given; usage: ingot run %s", a->command->usage);
    if (!option_count(a, OPT_threads, 1, MOST_THREADS, &threads) || !option_count(a, OPT_seed, 0, UINT64_MAX, &seed))
        return EXIT_USAGE;
    int status = session_open(&s, a, a->rest.at[0], NULL, (int)threads);
    if (!status) status = session_sizes(&s, a, 0);
    if (!status) status = read_inputs(&s, a);
    if (!status) session_sizes_of_inputs(&s);
    if (!status) status = session_random(&s, seed);
    if (!status) status = session_run(&s, NULL, NULL);
    progress_end();
    if (!status && a->value[OPT_o]) status = write_outputs(&s, a->value[OPT_o]);
    else if (!status && a->value[OPT_json]) print_json(&s);
    else if (!status) print_outputs(&s);
    session_close(&s);
    return status;
}
