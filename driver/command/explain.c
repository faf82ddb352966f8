/* explain.c: ingot explain. */
#include "command.h"

static void to_stdout(void *user, const char *text, uint64_t n) {
    (void)user;
    fwrite(text, 1, (size_t)n, stdout);
}

int command_explain(Arguments *a) {
    Prepared p;
    if (a->rest.n != 1) return fail_usage("expected one model; usage: ingot explain %s", a->command->usage);
    int status = prepare(a, &p);
    ingot_input in = {.size = sizeof in, .path = a->rest.at[0]};
    if (!status)
        status =
            exit_status(ingot_explain(&in, &p.settings, a->value[OPT_json] ? INGOT_JSON : INGOT_TEXT, to_stdout, NULL, NULL));
    prepared_free(&p);
    return status;
}
