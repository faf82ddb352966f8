# Sourced by the tests here, each of which is one of the checks at the end of the ABI's proposal: a private folder, the models
# (digits.onnx, pair.graph) and a compiler for hosts.  A test runs alone as well: INGOT=build/release/ingot bash tests/abi/X.sh
set -euo pipefail
ABI=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
INGOT=$(realpath "${INGOT:-$ABI/../../build/release/ingot}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cp "$ABI/../../examples/digits/digits.onnx" "$ABI/pair.graph" .
command -v cc >/dev/null || exit 77

# ingot OPTIONS...: compiles quietly; fails loudly.  BACKEND=c tries the other printer.
ingot() { "$INGOT" "$@" ${BACKEND:+--backend="$BACKEND"} --quiet; }
# host NAME ARGUMENTS...: builds tests/abi/NAME.c into ./NAME; extra arguments go to the compiler.
host() {
    local name=$1
    shift
    cc -std=gnu99 -O1 -Wall -Wextra -Werror -I. -I"$ABI" "$ABI/$name.c" -o "$name" "$@" -ldl -lpthread -lm
}
fail() { echo "$*" >&2; exit 1; }
