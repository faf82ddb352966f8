/* compile.c: ingot compile. */
#include "command.h"
#include <string.h>

/* -o -: the output alone, constants within it; no headers. */
static int to_stdout(const ingot_input *in, const ingot_settings *settings) {
    ingot_bytes out;
    ingot_error err;
    ingot_status status = ingot_compile_memory(in, settings, &out, NULL, &err);
    if (status) return exit_status(status);
    size_t written = fwrite(out.at, 1, (size_t)out.n, stdout);
    ingot_free(out.at);
    return written == out.n ? EXIT_YES : output_end(EXIT_YES);
}

static int print_schedule(const ingot_input *in, ingot_settings settings) {
    settings.emit = "schedule";
    return to_stdout(in, &settings);
}

int command_compile(Arguments *a) {
    Prepared p;
    ingot_error err;
    const char *out = a->value[OPT_o];
    if (a->rest.n != 1)
        return fail_usage("%s; usage: ingot compile %s", a->rest.n ? "more than one model given" : "no model given",
                          a->command->usage);
    bool schedule = a->value[OPT_print_schedule] != NULL;
    if (schedule && out && strcmp(out, "-") == 0)
        return fail_usage("--print-schedule prints on the standard output: -o - cannot go there as well");
    if (!out && !schedule) return fail_usage("no output given: add -o libmodel.so (or .a, .o, .c, .ll, .loop, .graph)");
    int status = prepare(a, &p);
    if (!status && a->value[OPT_threads] && *a->value[OPT_threads])
        status = fail_usage("--threads takes no number when compiling: the library serves any number of threads");
    p.settings.weights = a->value[OPT_weights];
    if (p.settings.stop_after && !p.settings.emit) p.settings.emit = "graph";
    if (out && strcmp(out, "-") == 0 && !p.settings.emit && !status)
        status = fail_usage("'-' does not tell what to write: add --emit");
    ingot_input in = {.size = sizeof in, .path = a->rest.at[0]};
    if (!status && schedule) status = print_schedule(&in, p.settings);
    if (!status && out && strcmp(out, "-") == 0) status = to_stdout(&in, &p.settings);
    else if (!status && out) status = exit_status(ingot_compile(&in, &p.settings, out, &err));
    prepared_free(&p);
    return status;
}
