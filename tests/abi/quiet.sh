# Check 4: after reserve, 10^5 runs of mixed sizes: no allocation (counted) and no system call (strict seccomp kills).
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o digits.a
ingot compile pair.graph -o pair.a
ingot compile pair.graph --threads --name=pooled -o pooled.a
wrap=
for f in malloc calloc realloc free aligned_alloc posix_memalign mmap; do wrap="$wrap,--wrap=$f"; done
host quiet digits.a pair.a pooled.a "-Wl$wrap"
status=0
./quiet || status=$?
[ $status != 137 ] || fail "killed by seccomp: run made a system call"
exit $status
