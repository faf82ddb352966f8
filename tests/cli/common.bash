# Sourced by the tests here: a model to work with, and what is expected of a call.  Not a test: it only defines.
cat > m.graph <<'EOF'
graph @f(%1 "x": f32[batch,4], %2 "w": f32[4,4]) where batch in [1,64] {
  %3 = dot %1, %2 {batch=0, chunk=512}
  %4 = exp %3
  return %4 "y"
}
EOF

# expect STATUS TEXT COMMAND...: the exit status, and TEXT in what goes to stderr (empty: nothing goes there).
expect() {
    local status=0 wanted=$1 text=$2
    shift 2
    "$@" >stdout 2>stderr || status=$?
    [ "$status" = "$wanted" ] || { echo "$*: status $status, expected $wanted" >&2; cat stdout stderr >&2; return 1; }
    if [ -z "$text" ]; then
        [ ! -s stderr ] || { echo "$*: unexpected messages" >&2; cat stderr >&2; return 1; }
    else
        grep -qF -- "$text" stderr || { echo "$*: no '$text' in" >&2; cat stderr >&2; return 1; }
    fi
}
