/* compile.c: ingot compile. */
#include "command.h"
#include <string.h>

int command_compile(Arguments *a) {
    Prepared p;
    ingot_error err;
    const char *out = a->value[OPT_o];
    if (a->rest.n != 1) return fail_usage("%s; usage: ingot compile %s", a->rest.n ? "more than one model given" : "no model given", a->command->usage);
    if (!out) return fail_usage("no output given: add -o libmodel.so (or .a, .o, .c, .ll, .loop, .graph)");
    int status = prepare(a, &p);
    if (!status && a->value[OPT_threads] && *a->value[OPT_threads])
        status = fail_usage("--threads takes no number when compiling: the library serves any number of threads");
    p.settings.weights = a->value[OPT_weights];
    if (strcmp(out, "-") == 0) out = "/dev/stdout";
    if (p.settings.stop_after && !p.settings.emit) p.settings.emit = "graph";
    ingot_input in = {.size = sizeof in, .path = a->rest.at[0]};
    if (!status) status = exit_status(ingot_compile(&in, &p.settings, out, &err));
    prepared_free(&p);
    return status;
}
