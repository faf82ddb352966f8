# Check 7: two builds with folder, home, locale, zone, clock, user and number of cores changed: the same SHA-256.
. "$(dirname "$0")/common.bash"
cat > clock.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
/* Ten years later. */
enum { LATER = 315360000 };
int clock_gettime(clockid_t id, struct timespec *t) {
    int (*next)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = next(id, t);
    if (id == CLOCK_REALTIME) t->tv_sec += LATER;
    return rc;
}
time_t time(time_t *at) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (at) *at = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    t->tv_sec = time(NULL), t->tv_usec = 0;
    return 0;
}
END
cc -shared -fPIC -w clock.c -o clock.so -ldl
build() {
    "$1" compile digits.onnx --quiet -o libdigits.so
    for kind in a o c; do "$1" compile digits.onnx --quiet -o digits.$kind; done
    "$1" compile pair.graph --quiet --threads -o libpair.so
    sha256sum ./*.so ./*.a ./*.o ./*.c ./*.h
}
export -f build
mkdir -p one "two/a folder"
cp digits.onnx pair.graph one
cp digits.onnx pair.graph "two/a folder"
(cd one && build "$INGOT") > one.sums
# ASan wants to come first and refuses preloaded libraries: sanitized builds keep the clock.
preload=$PWD/clock.so
! LD_PRELOAD=$preload "$INGOT" --help >/dev/null 2>&1 && preload=
other=(env -i PATH="$PATH" HOME=/nonexistent USER=somebody LOGNAME=somebody TZ=Pacific/Kiritimati LC_ALL=de_DE.UTF-8 TMPDIR=/var/tmp)
cp "$INGOT" ./moved-ingot
program=$PWD/moved-ingot
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 . two && chown -R 65534:65534 two
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    "${as[@]}" "$program" --help >/dev/null 2>&1 && other=("${as[@]}" "${other[@]}") || echo "as the same user"
fi
command -v taskset >/dev/null && other=(taskset -c "$(taskset -pc $$ | sed 's/.*[:,-] *//')" "${other[@]}")
(cd "two/a folder" && "${other[@]}" ${preload:+LD_PRELOAD="$preload"} bash -euc 'build() { '"$(declare -f build | tail -n +3)"'; build "$1"' - "$program") > two.sums
diff one.sums two.sums
echo "$(wc -l < one.sums) files with the same SHA-256"
