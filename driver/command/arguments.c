/* arguments.c: the command line by the table options.def, and its help. */
#define _GNU_SOURCE
#include "command.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const Command commands[] = {
    {"compile", "MODEL -o OUT [options]", "a model to a library, or to any stage before it",
     "  ingot compile minilm.onnx -o libminilm.so --dim batch=1..64,seq=1..512\n"
     "  ingot compile kws.onnx -o kws.c                     one C99 file, its header beside it\n"
     "  ingot compile m.onnx --emit=graph --stop-after=fuse -o m.graph\n"
     "  ingot compile m.loop -o libm.so                     every intermediate text is an input\n"
     "  ingot compile m.onnx --print-schedule > m.schedule  numbers of every kernel, to change and give with --schedule\n"
     "  ingot compile m.onnx -o libm.so --self-test=3       ingot verify libm.so then checks it anywhere\n",
     command_compile},
    {"run", "LIBRARY|MODEL [NAME=X.npy ...] [options]", "runs a library, or a model in this process",
     "  ingot run mnist.onnx --random\n"
     "  ingot run libminilm.so input_ids=ids.npy attention_mask=mask.npy -o results\n"
     "  ingot run m.onnx x=x.npy --backend=c --threads=2\n",
     command_run},
    {"inspect", "LIBRARY|MODEL [--json] | --compat OLD NEW", "what a library is: sizes, inputs, outputs, needs",
     "  ingot inspect libminilm.so\n"
     "  ingot inspect --compat libminilm.so.1 libminilm.so.2\n",
     command_inspect},
    {"explain", "MODEL [options]", "what a model consists of, and all that is not supported",
     "  ingot explain model.onnx\n"
     "  ingot explain model.onnx --json | jq .missing\n",
     command_explain},
    {"verify", "LIBRARY|MODEL [--against M] [--data DIR] [options]", "compares with the interpreter, or with ONNX test data",
     "  ingot verify m.onnx                                 compiled against interpreted\n"
     "  ingot verify libm.so --against m.onnx --ulp=4\n"
     "  ingot verify m.onnx --data test_relu\n"
     "  ingot verify libm.so                                its own self-tests\n",
     command_verify},
    {"bench", "LIBRARY|MODEL [options]", "how long a run takes",
     "  ingot bench libresnet50.so --dim batch=1\n"
     "  ingot bench m.onnx --threads=1,2,4 --profile\n",
     command_bench},
    {"tune", "MODEL -o FILE [options]", "searches faster schedules on this machine, for compile --schedule=FILE",
     "  ingot tune m.onnx -o m.schedule --dim batch=1..8 --time=5m\n"
     "  ingot tune m.onnx -o m.schedule --threads=2 && ingot compile m.onnx --threads --schedule=m.schedule -o libm.so\n",
     command_tune},
};
const size_t n_commands = sizeof commands / sizeof *commands;

typedef struct OptionInfo { const char *id, *argument, *commands, *help; } OptionInfo;
static const OptionInfo options[] = {
#define OPTION(id, argument, commands, help) {#id, argument, commands, help},
#include "options.def"
};

const Command *command_find(const char *name) {
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static bool takes(const Command *c, const OptionInfo *o) { return strchr(o->commands, c->name[0] - 'a' + 'A') != NULL; }
bool option_applies(const Command *c, Option option) { return takes(c, &options[option]); }

/* "stop_after" is spelt stop-after. */
static bool spelt(const char *id, const char *word, size_t n) {
    if (strlen(id) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (word[i] != (id[i] == '_' ? '-' : id[i])) return false;
    return true;
}

/* The table's spelling, in a buffer of the caller. */
typedef char OptionName[24];
static const char *option_name(size_t i, OptionName name) {
    snprintf(name, sizeof(OptionName), "%s", options[i].id);
    for (char *p = name; *p; p++)
        if (*p == '_') *p = '-';
    return name;
}

static const char *candidate(const void *names, size_t i) { return ((const OptionName *)names)[i]; }

bool list_push(List *list, const char *text) {
    const char **more = realloc(list->at, (list->n + 1) * sizeof *more);
    if (!more) return false;
    list->at = more;
    return (more[list->n++] = text) != NULL;
}

static char *copy_n(const char *text, size_t n) {
    char *copy = malloc(n + 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

/* "batch=1..64,seq=..512" */
static bool push_dims(List *list, const char *text) {
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        char *one = copy_n(at, n);
        if (!one || !list_push(list, one)) return false;
        at += n + (at[n] == ',');
    }
    return true;
}

static int unknown_option(const Command *c, const char *word, size_t n) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(n < 60 ? n : 60), word);
    for (size_t i = 0; i < OPT_COUNT; i++)
        if (spelt(options[i].id, word, n))
            return fail_usage("ingot %s has no option --%s; try ingot %s --help", c->name, name, c->name);
    OptionName names[OPT_COUNT];
    for (size_t i = 0; i < OPT_COUNT; i++) option_name(i, names[i]);
    const char *close = closest(name, candidate, names, OPT_COUNT);
    return fail_usage("no option '--%s'%s%s%s; try ingot %s --help", name, close ? " (did you mean '--" : "",
                      close ? close : "", close ? "'?)" : "", c->name);
}

static int set_option(Arguments *a, size_t i, const char *value) {
    bool ok = true;
    a->value[i] = value;
    if (i == OPT_dim) ok = push_dims(&a->dims, value);
    if (i == OPT_constant) ok = list_push(&a->constants, value);
    return ok ? EXIT_YES : fail_machine("out of memory");
}

/* One word and perhaps the next; *used words are consumed. */
static int take_option(Arguments *a, const char *word, const char *next, int *used) {
    bool one_dash = word[1] != '-';
    const char *name = word + (one_dash ? 1 : 2);
    size_t n = one_dash ? 1 : strcspn(name, "=");
    *used = 1;
    if (one_dash && *name == 'h') name = "help", n = 4;
    for (size_t i = 0; i < OPT_COUNT; i++) {
        const OptionInfo *o = &options[i];
        if (!spelt(o->id, name, n) || !takes(a->command, o)) continue;
        const char *value = name + n;
        if (*value == '=') value++;
        else if (!*value) value = NULL;
        bool optional = o->argument && o->argument[0] == '[';
        OptionName shown;
        if (!o->argument && value) return fail_usage("--%s takes no value, found '%s'", option_name(i, shown), value);
        bool number = next && *next && next[strspn(next, "0123456789,")] == 0;
        if (!o->argument || (optional && !value && !number)) return set_option(a, i, "");
        if (!value && !next)
            return fail_usage("%s%s needs a value: %s", i == OPT_o ? "-" : "--", option_name(i, shown), o->argument);
        if (!value) *used = 2;
        return set_option(a, i, value ? value : next);
    }
    return unknown_option(a->command, name, n);
}

int arguments_parse(Arguments *a, int argc, char **argv) {
    bool only_words = false;
    for (int i = 0, used = 1; i < argc; i += used) {
        used = 1;
        int status = EXIT_YES;
        if (!only_words && strcmp(argv[i], "--") == 0) only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1])
            status = take_option(a, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
        else if (!list_push(&a->rest, argv[i])) status = fail_machine("out of memory");
        if (status) return status;
    }
    const char *color = a->value[OPT_color];
    if (color && strcmp(color, "auto") != 0 && strcmp(color, "always") != 0 && strcmp(color, "never") != 0)
        return fail_usage("--color=%s: expected auto, always or never", color);
    message_setup(a);
    return EXIT_YES;
}

void arguments_free(Arguments *a) {
    for (uint32_t i = 0; i < a->dims.n; i++) free((char *)(uintptr_t)a->dims.at[i]);
    free(a->dims.at);
    free(a->constants.at);
    free(a->rest.at);
}

bool option_number(Arguments *a, Option option, double *value) {
    const char *text = a->value[option];
    char *end;
    if (!text || !*text) return true;
    double x = strtod(text, &end);
    if (*end || !(x >= 0)) {
        OptionName name;
        fail_usage("--%s=%s: expected a number", option_name(option, name), text);
        return false;
    }
    *value = x;
    return true;
}

bool option_count(Arguments *a, Option option, uint64_t least, uint64_t most, uint64_t *value) {
    const char *text = a->value[option];
    char *end;
    if (!text || !*text) return true;
    errno = 0;
    uint64_t x = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || x < least || x > most) {
        OptionName name;
        fail_usage("--%s=%s: expected a whole number from %" PRIu64 " to %" PRIu64, option_name(option, name), text, least,
                   most);
        return false;
    }
    *value = x;
    return true;
}

/* ---- help ---------------------------------------------------------------------------------------------------------------- */

void print_help(FILE *to, const Command *c) {
    if (!c) {
        fprintf(to,
                "ingot casts machine-learning models into native libraries that stand alone\n\nusage: ingot COMMAND ...\n\n");
        for (size_t i = 0; i < n_commands; i++) fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
        fprintf(
            to,
            "\nexamples:\n  ingot compile model.onnx -o libmodel.so\n  ingot run model.onnx --random\n\n"
            "ingot COMMAND --help tells more; exit status: 0 yes, 1 no (not supported, mismatch), 2 usage, 3 a bug of ingot,\n"
            "4 the machine (files, tools, memory)\n");
        return;
    }
    fprintf(to, "usage: ingot %s %s\n\n%s\n\noptions:\n", c->name, c->usage, c->summary);
    for (size_t i = 0; i < OPT_COUNT; i++) {
        char left[64];
        OptionName name;
        const OptionInfo *o = &options[i];
        if (!takes(c, o)) continue;
        bool optional = o->argument && o->argument[0] == '[';
        if (i == OPT_o) snprintf(left, sizeof left, "-o %s", o->argument);
        else if (!o->argument) snprintf(left, sizeof left, "--%s", option_name(i, name));
        else if (optional) snprintf(left, sizeof left, "--%s[=%.1s]", option_name(i, name), o->argument + 1);
        else snprintf(left, sizeof left, "--%s=%s", option_name(i, name), o->argument);
        fprintf(to, "  %-22s %s\n", left, o->help);
    }
    fprintf(to, "\nexamples:\n%s", c->examples);
}
