/* main.c: the command line's entry: picks the command.  Everything else: driver/command/. */
#include "command/command.h"
#include <string.h>

static const char *command_name(const void *user, size_t i) {
    const Command *list = user;
    return list[i].name;
}

int main(int argc, char **argv) {
    Arguments a = {.argc = argc, .argv = argv};
    const char *word = argc > 1 ? argv[1] : "";
    message_setup(&a);
    if (argc < 2) {
        print_help(stderr, NULL);
        return EXIT_USAGE;
    }
    bool help = strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    if (help && argc == 2) {
        print_help(stdout, NULL);
        return output_end(EXIT_YES);
    }
    if (strcmp(word, "--version") == 0) {
        printf("ingot %s\n", ingot_version());
        return output_end(EXIT_YES);
    }
    if (help) word = argv[2];
    const Command *command = command_find(word);
    if (!command) {
        const char *close = closest(word, command_name, commands, n_commands);
        return fail_usage("no command '%s'%s%s%s; try ingot --help", word, close ? " (did you mean '" : "", close ? close : "",
                          close ? "'?)" : "");
    }
    if (help) {
        print_help(stdout, command);
        return output_end(EXIT_YES);
    }
    a.command = command;
    int status = arguments_parse(&a, argc - 2, argv + 2);
    if (status == EXIT_YES && a.value[OPT_help]) print_help(stdout, command);
    else if (status == EXIT_YES) status = command_start(&a);
    arguments_free(&a);
    return output_end(status);
}
