# Outputs are whole or not there: a full disk, a folder or file that may not be written, a reader that goes, `-o -`.
. "$TESTS/cli/common.bash"
cp "$TESTS/../examples/digits/digits.onnx" .
digits=digits.onnx # commands below are split at blanks
"$INGOT" compile "$digits" --name=digits -o digits.c
"$INGOT" compile "$digits" -o libdigits.so

# -o - is the output alone, the same bytes as the file's; without --emit it does not tell what.
expect 2 'add --emit' "$INGOT" compile "$digits" -o -
"$INGOT" compile "$digits" --name=digits --emit=c -o - | cmp - digits.c
"$INGOT" compile "$digits" --name=digits --emit=header -o - | cmp - digits.h
"$INGOT" compile "$digits" --emit=so -o - > piped.so
expect 0 '' "$INGOT" run ./piped.so --random

# A full disk, as a limit on the size of files: what was there stays, and nothing lies beside it.
mkdir full && echo old > full/digits.c
full() { (ulimit -f 64 && trap '' XFSZ && exec "$INGOT" "$@"); }
expect 4 "cannot write 'full/digits.c': File too large" full compile "$digits" --name=digits -o full/digits.c
[ "$(cat full/digits.c)" = old ]
ls full | grep -v -x -e digits.c -e digits.h -e ingot_rt.h && exit 1
expect 4 "error: " full compile "$digits" -o full/libdigits.so
[ ! -e full/libdigits.so ]
expect 4 'cannot write to the standard output' sh -c '"$INGOT" compile "$1" --emit=c -o - > /dev/full' sh "$digits"
for command in "inspect libdigits.so" "inspect libdigits.so --json" "explain $digits" "run libdigits.so --random" "verify $digits" "compile --help"; do
    expect 4 'cannot write to the standard output' sh -c '"$INGOT" '"$command"' > /dev/full'
done
expect 4 "cannot write 'full.npy" full run libdigits.so --random --dim batch=4000 -o full.npy
[ -z "$(find full.npy -type f)" ]

# A reader that goes ends us quietly.
"$INGOT" compile "$digits" --emit=c -o - 2> gone | head -c 10 > start || true
[ ! -s gone ] || { cat gone; exit 1; }

# Folders and files that may not be written (root may).
if [ "$(id -u)" != 0 ]; then
    mkdir closed && chmod 555 closed
    expect 4 "cannot write 'closed/libm.so': Permission denied" "$INGOT" compile m.graph -o closed/libm.so
fi
expect 4 "cannot write 'm.graph/x.so'" "$INGOT" compile m.graph -o m.graph/x.so
expect 4 'Not a directory' "$INGOT" run libdigits.so --random -o m.graph
ls | grep tmp && exit 1 || true
