# The README's lines that start with `ingot` work as written, on the example, in their order; its shell blocks name scripts that exist.
. "$TESTS/cli/common.bash"
readme=$TESTS/../README.md
mkdir bin
printf '#!/bin/sh\nexec "%s" "$@"\n' "$INGOT" > bin/ingot
chmod +x bin/ingot
PATH=$PWD/bin:$PATH
cp "$TESTS/../examples/digits/digits.onnx" model.onnx
# x.npy: two images.
python3 - <<'EOT'
import struct
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 8, 8), }".ljust(117) + "\n"
open("x.npy", "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(512))
EOT
sed -n '/^```/,/^```$/p' "$readme" | grep '^ingot ' | sed 's/ x=x.npy/ image=x.npy/' > lines
[ "$(wc -l < lines)" -ge 8 ]
while read -r line; do
    sh -c "$line" > stdout 2> stderr < /dev/null || { echo "README: $line"; cat stderr; exit 1; }
done < lines
test -f libmodel.so && test -f model.c && test -f out/probability.npy
sed -n '/^```sh/,/^```$/p' "$readme" | grep -o '^scripts/[a-z]*' | while read -r script; do test -x "$TESTS/../$script"; done
# Every file that README and ARCHITECTURE point to exists.
grep -o '`[a-z]*/[a-z_/]*\.[a-z]*`' "$readme" "$TESTS/../ARCHITECTURE.md" | sed 's/.*`\(.*\)`/\1/' | sort -u | while read -r file; do
    test -e "$TESTS/../$file" || { echo "no such file: $file"; exit 1; }
done
