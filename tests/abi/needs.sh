# Check 1: a library needs libc (libm) alone, has no text relocations, constructors or executable stack, and all that is
# writable in it becomes read-only before user code runs.
. "$(dirname "$0")/common.bash"
command -v readelf >/dev/null || exit 77
examine() {
    local lib=$1 start size end found
    readelf -dW "$lib" > dynamic
    readelf -lW "$lib" > segments
    ! grep NEEDED dynamic | grep -v '\[libc.so.6\]\|\[libm.so.6\]' || fail "$lib: needs more than libc"
    ! grep -E 'TEXTREL|INIT_ARRAY|FINI_ARRAY|PREINIT|\(INIT\)|\(FINI\)|RPATH|RUNPATH' dynamic || fail "$lib: has what it must not have"
    grep -q BIND_NOW dynamic || fail "$lib: binds lazily"
    grep GNU_STACK segments | grep -q ' RW ' || fail "$lib: executable stack"
    ! grep LOAD segments | grep -E 'RWE|WE' || fail "$lib: writable code"
    read -r _ _ start _ _ size _ < <(grep GNU_RELRO segments) || fail "$lib: no RELRO"
    end=$((start + size))
    while read -r section at bytes; do
        found=$((16#$at + 16#$bytes))
        [ $((16#$at)) -ge $((start)) ] && [ $found -le $end ] || fail "$lib: $section is writable and no RELRO"
    done < <(readelf -SW "$lib" | sed 's/^ *\[ *[0-9]*\] //' | awk '$7 ~ /W/ && $7 ~ /A/ {print $1, $3, $5}')
    echo "$lib: $(grep NEEDED dynamic | sed 's/.*\[\(.*\)\].*/\1/' | tr '\n' ' '), $(stat -c %s "$lib") bytes"
}
ingot compile digits.onnx -o libdigits.so
ingot compile pair.graph -o libpair.so
ingot compile pair.graph --threads --name=pooled -o libpooled.so
ingot compile digits.onnx --weights=file --name=outside -o liboutside.so
ingot compile pair.graph --freestanding --name=bare -o libbare.so
for lib in lib*.so; do examine "$lib"; done
! nm -D libbare.so | grep -E ' U .*(alloc|free|clock)' || fail "a freestanding artifact allocates"
