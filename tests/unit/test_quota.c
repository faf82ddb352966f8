/* test_quota.c: how many threads the cgroups of a process allow (runtime/quota.c), of files as Linux shows them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ingot_frame.h"

typedef struct Quota {
    const char *groups; /* /proc/self/cgroup */
    const char *files[6][2]; /* below /sys/fs/cgroup, and what they say */
    int32_t expected;
} Quota;

static const Quota cases[] = {
    {"0::/\n", {{"cpu.max", "max 100000\n"}}, INT32_MAX},
    {"0::/\n", {{"cpu.max", "200000 100000\n"}}, 2},
    {"0::/\n", {{"cpu.max", "150000 100000\n"}}, 2},
    {"0::/\n", {{"cpu.max", "1000 100000\n"}}, 1},
    {"0::/\n", {{"cpu.max", "1000"}}, INT32_MAX},
    {"0::/\n", {{"cpu.max", ""}}, INT32_MAX},
    {"0::/\n", {{NULL, NULL}}, INT32_MAX},
    {NULL, {{"cpu.max", "100000 100000\n"}}, INT32_MAX},
    {"", {{"cpu.max", "100000 100000\n"}}, INT32_MAX},
    /* below a slice: the root of v2 has no such file */
    {"0::/a.slice/b.service\n", {{"a.slice/b.service/cpu.max", "300000 100000\n"}, {"a.slice/cpu.max", "max 100000\n"}}, 3},
    {"0::/a.slice/b.service\n", {{"a.slice/b.service/cpu.max", "max 100000\n"}, {"a.slice/cpu.max", "200000 100000\n"}}, 2},
    {"0::/a.slice/b.service", {{"a.slice/b.service/cpu.max", "700000 100000\n"}, {"a.slice/cpu.max", "500000 100000\n"}}, 5},
    /* v1, and the host's path seen from a container */
    {"4:cpu,cpuacct:/\n", {{"cpu/cpu.cfs_quota_us", "-1\n"}, {"cpu/cpu.cfs_period_us", "100000\n"}}, INT32_MAX},
    {"4:cpuacct,cpu:/x\n", {{"cpu/x/cpu.cfs_quota_us", "400000\n"}, {"cpu/x/cpu.cfs_period_us", "100000\n"}}, 4},
    {"9:memory:/x\n4:cpu:/x/y\n1:name=systemd:/\n",
     {{"cpu/x/cpu.cfs_quota_us", "50000\n"}, {"cpu/x/cpu.cfs_period_us", "20000\n"}},
     3},
    {"4:cpu,cpuacct:/docker/f00\n", {{"cpu/cpu.cfs_quota_us", "100000\n"}, {"cpu/cpu.cfs_period_us", "100000\n"}}, 1},
    {"4:cpuset:/\n3:cpuacct:/\n", {{"cpu/cpu.cfs_quota_us", "100000\n"}, {"cpu/cpu.cfs_period_us", "100000\n"}}, INT32_MAX},
    /* both: the least */
    {"1:cpu:/\n0::/\n",
     {{"cpu/cpu.cfs_quota_us", "400000\n"}, {"cpu/cpu.cfs_period_us", "100000\n"}, {"cpu.max", "200000 100000\n"}},
     2},
};

/* Writes a file and the folders it lies in. */
static void write_file(const char *root, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0777);
        *at = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_quota(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char root[] = "/tmp/quota-XXXXXX", command[64];
        assert_non_null(mkdtemp(root));
        if (cases[i].groups) write_file(root, "proc/self/cgroup", cases[i].groups);
        for (size_t k = 0; k < 6 && cases[i].files[k][0]; k++) {
            char name[256];
            snprintf(name, sizeof name, "sys/fs/cgroup/%s", cases[i].files[k][0]);
            write_file(root, name, cases[i].files[k][1]);
        }
        int32_t found = ingot_rt_quota(root);
        snprintf(command, sizeof command, "rm -r '%s'", root);
        assert_int_equal(system(command), 0);
        if (found != cases[i].expected) fail_msg("case %zu: found %d, expected %d", i, found, cases[i].expected);
    }
}

static void test_long(void **state) {
    (void)state;
    char root[512];
    memset(root, 'x', sizeof root - 1);
    root[sizeof root - 1] = 0;
    assert_int_equal(ingot_rt_quota(root), INT32_MAX);
    assert_true(ingot_rt_quota("") >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quota), cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
