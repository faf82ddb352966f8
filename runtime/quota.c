/* quota.c: how many CPUs' worth of time the cgroups of this process allow: a pool has no more threads.  Threaded builds only.
 *
 * A line of /proc/self/cgroup is "0::/path" for v2 and "2:cpu,cpuacct:/path" for v1; both may be there.  Limits lie in the
 * group of that path and in those above it, and the least counts.  In a container the path may be the host's: those folders are
 * missing, and the mount has the limit.  Whatever cannot be read limits nothing.
 * Source: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst (cpu.cfs_quota_us).
 */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "ingot_frame.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_ROOT = 256, LONGEST_GROUP = 1024, ROOM = 64 };

/* The text of a file, ended by 0, empty where it cannot be read. */
static void read_text(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = file < 0 ? 0 : read(file, text, size - 1);
    if (file >= 0) close(file);
    text[bytes > 0 ? bytes : 0] = 0;
}

/* The number at `at`, or 0 where there is none: "max", "-1". */
static int64_t number_at(const char *at) {
    int64_t number = 0;
    for (; *at >= '0' && *at <= '9' && number < INT32_MAX; at++) number = number * 10 + (*at - '0');
    return number;
}

/* What the group whose folder is path[0..length) allows; what follows is written over. */
static int64_t allowed_by(char *path, size_t length, int v1) {
    char text[ROOM];
    memcpy(path + length, v1 ? "/cpu.cfs_quota_us" : "/cpu.max", v1 ? 18 : 9);
    read_text(path, text, sizeof text);
    const char *second = strchr(text, ' ');
    int64_t time = number_at(text), period = second ? number_at(second + 1) : 0;
    if (v1) {
        memcpy(path + length, "/cpu.cfs_period_us", 19);
        read_text(path, text, sizeof text);
        period = number_at(text);
    }
    return time && period ? (time + period - 1) / period : INT32_MAX;
}

/* Whether one of the controllers up to `end`, with commas between them, is "cpu". */
static int has_cpu(const char *name, const char *end) {
    for (; name < end; name += strcspn(name, ",:") + 1)
        if (!strncmp(name, "cpu", 3) && strcspn(name, ",:") == 3) return 1;
    return 0;
}

int32_t ingot_rt_quota(const char *root) {
    char groups[4096], path[LONGEST_ROOT + LONGEST_GROUP + ROOM];
    size_t start = strlen(root);
    if (start > LONGEST_ROOT) return INT32_MAX;
    memcpy(path, root, start);
    memcpy(path + start, "/proc/self/cgroup", 18);
    read_text(path, groups, sizeof groups);
    int64_t least = INT32_MAX;
    for (char *line = groups, *next; *line; line = next) {
        size_t whole = strcspn(line, "\n");
        next = line + whole + (line[whole] == '\n');
        line[whole] = 0;
        char *kinds = strchr(line, ':'), *group = kinds ? strchr(kinds + 1, ':') : NULL;
        if (!group || strlen(group) > LONGEST_GROUP) continue;
        int v1 = group > kinds + 1;
        if (v1 && !has_cpu(kinds + 1, group)) continue;
        size_t mount = start + (v1 ? 18 : 14), length = mount + strlen(group + 1);
        memcpy(path + start, "/sys/fs/cgroup/cpu", 18);
        memcpy(path + mount, group + 1, length - mount);
        for (;;) {
            int64_t found = allowed_by(path, length, v1);
            if (found < least) least = found;
            if (length <= mount) break;
            while (length > mount && path[--length] != '/') continue;
        }
    }
    return (int32_t)least;
}
