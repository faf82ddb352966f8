# In a pipe there is no progress and no colour; NO_COLOR and --color are obeyed.
. "$TESTS/cli/common.bash"
expect 0 '' "$INGOT" compile m.graph -o libm.so
[ ! -s stdout ]
"$INGOT" compile missing.onnx -o x.so 2> plain || true
if grep -q $'\033' plain; then exit 1; fi
"$INGOT" compile missing.onnx -o x.so --color=always 2> colored || true
grep -q $'\033' colored
if command -v script >/dev/null && script -qec true tty >/dev/null 2>&1 </dev/null; then # containers may have no terminals
    TERM=xterm script -qec "'$INGOT' compile missing.onnx -o x.so" tty >/dev/null </dev/null || true
    grep -q $'\033\[1;31m' tty
    NO_COLOR=1 TERM=xterm script -qec "'$INGOT' compile missing.onnx -o x.so" tty >/dev/null </dev/null || true
    if grep -q $'\033\[1;31m' tty; then exit 1; fi
    TERM=xterm script -qec "'$INGOT' compile m.graph -o libm.so" tty >/dev/null </dev/null
    grep -q 'code ...' tty
fi
