# Compiling in a child process: its death is a clear error with the stage, nothing stays behind, and signals reach it.
. "$TESTS/cli/common.bash"
mkdir out tmp
export TMPDIR=$PWD/tmp
nothing_left() { [ -z "$(find out tmp -mindepth 1)" ] || { find out tmp; return 1; }; }
expect 2 'expected yes or no' "$INGOT" compile m.graph --isolate=maybe -o out/libm.so
for isolate in yes no; do
    expect 0 '' "$INGOT" compile m.graph --isolate=$isolate -o libm.so
    mv libm.so $isolate.so
    expect 0 '' "$INGOT" explain m.graph --isolate=$isolate
    expect 1 'limit' "$INGOT" compile m.graph --limits=300K --isolate=$isolate -o out/libm.so
    expect 2 'C identifier' "$INGOT" compile m.graph --name=a-b --isolate=$isolate -o out/libm.so
    expect 4 'No such file' "$INGOT" compile missing.onnx --isolate=$isolate -o out/libm.so
    nothing_left
done
cmp yes.so no.so

# A linker that never ends holds the compiler in its last stage, where its temporary folder and the object are there.
mkdir bin
printf '#!/bin/sh\necho $$ > "%s/linker"\nexec sleep 300\n' "$PWD" > bin/ld.lld-19
chmod +x bin/ld.lld-19
PATH=$PWD/bin:$PATH
hold() { # starts compiling; parent and child are then their processes
    rm -f linker stdout stderr
    "$INGOT" compile m.graph --emit=so -o out/libm.so --dump-dir=. "$@" >stdout 2>stderr &
    parent=$!
    for _ in $(seq 2400); do [ -s linker ] && break; sleep 0.05; done
    [ -s linker ]
    child=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$(cat linker)/status")
    [ "$child" != "$parent" ]
}
gone() { # the child, soon
    for _ in $(seq 600); do kill -0 $child 2>/dev/null || return 0; sleep 0.05; done
    echo "process $child is still there"
    return 1
}
ended() { # STATUS TEXT
    local status=0
    wait $parent || status=$?
    kill "$(cat linker)" 2>/dev/null || true
    [ $status = "$1" ] || { echo "status $status, expected $1"; cat stderr; return 1; }
    [ -z "$2" ] || grep -qF -- "$2" stderr || { echo "no '$2' in"; cat stderr; return 1; }
    nothing_left
}
hold; kill -ABRT $child; ended 3 "ended by signal 6 (Aborted) in stage "
grep -q 'please attach it' stderr
[ "$(ls ingot-bug-*.txt | wc -l)" = 1 ]
grep -q "^// command: ingot compile m.graph" ingot-bug-*.txt
hold; kill -KILL $child; ended 4 'was killed in stage '
# A slow machine may not come as far as the linker in a second.
rm -f linker
expect 1 'longer than the limit of 1 seconds' "$INGOT" compile m.graph --emit=so -o out/libm.so --limits=1G,1
[ ! -s linker ] || kill "$(cat linker)" 2>/dev/null || true
nothing_left
hold; kill -TERM $parent; ended 143 ''
gone # it does not outlive its parent
hold; kill -KILL $parent; wait $parent || true
gone
kill "$(cat linker)" 2>/dev/null || true
[ ! -e out/libm.so ]
# Whatever memory there is, running out of it is no bug, also inside LLVM.
if (ulimit -d 12000 && "$INGOT" --version) >/dev/null 2>&1; then
    kind=c # what needs no other program: a linker would run out on its own
    if "$INGOT" compile m.graph -o m.ll 2>/dev/null; then kind=asm; fi
    for kilobytes in 12000 14000 16000 20000 24000; do
        status=0
        (ulimit -d $kilobytes && exec "$INGOT" compile "$TESTS/../examples/digits/digits.onnx" --emit=$kind -o digits.text) 2> stderr || status=$?
        case $status in
        0) ;;
        1) grep -q memory stderr || { cat stderr; exit 1; } ;;
        *) echo "status $status with $kilobytes KB"; cat stderr; exit 1 ;;
        esac
    done
fi
