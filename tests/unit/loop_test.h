/* loop_test.h: what the tests of Loop IR share. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loop.h"

static inline int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static inline int teardown(void **state) {
    context_free(*state);
    return 0;
}

static inline LoopModule *parse(Context *cx, const char *text) {
    return loop_parse(cx, "t.loop", text, strlen(text), NULL, 0);
}

static inline LoopModule *must_parse(Context *cx, const char *text) {
    LoopModule *m = parse(cx, text);
    if (!m && diag_count(cx))
        print_error("%s: %s\n%s\n", loc_string(cx, diag_at(cx, 0)->loc), diag_at(cx, 0)->text, text);
    assert_non_null(m);
    return m;
}

static inline const char *print(const LoopModule *m) {
    Text out = text_new(m->cx->arena);
    loop_print(m, &out, NULL);
    return out.at;
}

/* The last diagnostic must contain `text`; then all are dropped. */
static inline void expect_error(Context *cx, const char *text) {
    assert_true(diag_error_count(cx) > 0);
    const Diag *d = diag_at(cx, diag_count(cx) - 1);
    if (!strstr(d->text, text)) print_error("found: %s\nexpected: %s\n", d->text, text);
    assert_non_null(strstr(d->text, text));
    diag_truncate(cx, 0);
}

static inline bool call(LoopModule *m, const LSlot *in, uint32_t n, LSlot *out) {
    return loop_interp_call(loop_interp_new(m, NULL, NULL), "f", in, n, out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
