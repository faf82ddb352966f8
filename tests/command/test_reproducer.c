/* test_reproducer.c: a BUG in the middle of compiling leaves a file, through the command line's own settings.
 *
 * The fault is injected here: a job whose work ends in BUG, at a pass and before any graph exists.  Linked with
 * driver/command/, whose callback writes.
 */
#define _GNU_SOURCE
#include "command/command.h"
#include "compile.h"
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char text[] = "graph @f(%1 \"x\": f32[n,70], %2 \"w\": f32[70,4]) where n in [1,64] {\n"
                           "  %3 = dot %1, %2 {batch=0, chunk=512}\n"
                           "  %4 = exp %3\n"
                           "  return %4 \"y\"\n"
                           "}\n";
static const ingot_input input = {.size = sizeof input, .path = "f.graph", .bytes = text, .n = sizeof text - 1};

static bool fail_at_fuse(Job *job, void *user) {
    (void)user;
    assert_true(job_open(job));
    job->graph = job_import(job);
    job_progress(job, "fuse");
    BUG(job->cx, "injected\nfault %d", 7);
}

static bool fail_early(Job *job, void *user) {
    (void)user;
    assert_true(job_open(job));
    job_progress(job, "import");
    BUG(job->cx, "no graph yet");
}

/* The one file that matches, its text in *contents. */
static char *only_file(const char *folder, const char *pattern, char *contents, size_t most) {
    char path[300];
    glob_t g;
    snprintf(path, sizeof path, "%s/%s", folder, pattern);
    assert_int_equal(glob(path, 0, NULL, &g), 0);
    assert_int_equal(g.gl_pathc, 1);
    char *name = strdup(g.gl_pathv[0]);
    globfree(&g);
    FILE *f = fopen(name, "rb");
    assert_non_null(f);
    contents[fread(contents, 1, most - 1, f)] = 0;
    fclose(f);
    return name;
}

static ingot_status fail_in(const char *folder, bool (*work)(Job *, void *)) {
    char *argv[] = {(char[]){"/usr/bin/ingot"}, (char[]){"compile"}, (char[]){"f.graph"}, NULL};
    Arguments a = {.argc = 3, .argv = argv};
    Prepared p;
    ingot_error err = {0};
    a.value[OPT_dump_dir] = folder;
    assert_int_equal(prepare(&a, &p), EXIT_YES);
    Job *job = job_begin(&input, &p.settings, NULL);
    assert_non_null(job);
    job_run(job, work, NULL);
    ingot_status status = job_end(job, false, &err);
    prepared_free(&p);
    assert_int_equal(err.code, INGOT_E_BUG);
    assert_non_null(strstr(err.text, "please report"));
    return status;
}

static void graph_of_the_stage(void **state) {
    char folder[] = "/tmp/ingot-test-XXXXXX", contents[4000];
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(exit_status(fail_in(folder, fail_at_fuse)), EXIT_BUG);
    assert_int_equal(exit_status(fail_in(folder, fail_at_fuse)), EXIT_BUG); /* the same bug: the same file */
    char *path = only_file(folder, "ingot-bug-*.graph", contents, sizeof contents);
    assert_non_null(strstr(contents, "// command: ingot compile f.graph\n"));
    assert_non_null(strstr(contents, "failed: injected fault 7\n"));
    assert_non_null(strstr(contents, "// stage: fuse\n"));
    assert_non_null(strstr(contents, "// model: f.graph (graph), "));
    assert_non_null(strstr(contents, "--passes=fuse"));
    /* The file is a model, and what it says brings the stage about again. */
    ingot_settings s = {.size = sizeof s, .passes = "fuse", .emit = "graph"};
    ingot_input in = {.size = sizeof in, .path = path};
    ingot_bytes out;
    ingot_error err;
    assert_int_equal(ingot_compile_memory(&in, &s, &out, NULL, &err), INGOT_OK);
    assert_non_null(strstr(out.at, "kernel"));
    ingot_free(out.at);
    unlink(path);
    free(path);
    assert_int_equal(rmdir(folder), 0);
}

static void text_before_any_graph(void **state) {
    char folder[] = "/tmp/ingot-test-XXXXXX", contents[4000];
    (void)state;
    assert_non_null(mkdtemp(folder));
    fail_in(folder, fail_early);
    char *path = only_file(folder, "ingot-bug-*.txt", contents, sizeof contents);
    assert_non_null(strstr(contents, "failed: no graph yet\n"));
    unlink(path);
    free(path);
    assert_int_equal(rmdir(folder), 0);
}

static void see(void *user, int32_t kind, const char *where, const char *message) {
    (void)where;
    if (kind == INGOT_NOTE && strstr(message, "graph @f(")) ++*(int *)user;
}

/* A host without the callback: a note, and no file. */
static void library_gives_text(void **state) {
    int seen = 0;
    ingot_settings s = {.size = sizeof s, .user = &seen, .diagnostic = see};
    (void)state;
    Job *job = job_begin(&input, &s, NULL);
    job_run(job, fail_at_fuse, NULL);
    assert_int_equal(job_end(job, false, NULL), INGOT_E_BUG);
    assert_int_equal(seen, 1);
}

/* No folder to write to: said, and the status stays. */
static void nowhere_to_write(void **state) {
    (void)state;
    assert_int_equal(exit_status(fail_in("/nonexistent", fail_at_fuse)), EXIT_BUG);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(graph_of_the_stage), cmocka_unit_test(text_before_any_graph),
                                       cmocka_unit_test(library_gives_text), cmocka_unit_test(nowhere_to_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
