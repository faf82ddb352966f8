# The runtime's code in an artifact: at most 2 KB without threads, 16 KB with them, whatever else is asked for.
. "$(dirname "$0")/common.bash"
command -v readelf >/dev/null || exit 77
# code NAME: bytes of executable sections in the archive's members, all but the model's own object.
code() {
    mkdir "$1" && (cd "$1" && ar x "../$1.a")
    local sum=0 n member
    for member in "$1"/*.o; do
        case $member in *_model.o | *_model_*.o) continue ;; esac
        n=0
        while read -r bytes; do n=$((n + 16#$bytes)); done < <(readelf -SW "$member" | sed 's/^ *\[ *[0-9]*\] //' | awk '$7 ~ /X/ {print $5}')
        echo "  $(basename "$member") $n" >&2
        sum=$((sum + n))
    done
    echo $sum
}
ingot compile digits.onnx --name=plain -o plain.a
ingot compile digits.onnx --name=bare --freestanding -o bare.a
ingot compile digits.onnx --name=pooled --threads -o pooled.a
ingot compile digits.onnx --name=outside --threads --weights=file -o outside.a
for row in plain:2048 bare:2048 pooled:16384 outside:16384; do
    bytes=$(code "${row%:*}")
    echo "runtime code of ${row%:*}: $bytes bytes"
    [ "$bytes" -le "${row#*:}" ] || fail "runtime of ${row%:*}: $bytes bytes, expected at most ${row#*:}"
done
