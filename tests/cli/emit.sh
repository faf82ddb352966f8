# Every kind of output; intermediate texts as inputs give the same bytes; headers beside libraries; nothing half written.
. "$TESTS/cli/common.bash"
"$INGOT" compile m.graph -o libm.so
test -f m.h && test -f ingot_rt.h
for kind in a o c loop graph dot ll s; do
    [ "$kind" = ll ] || [ "$kind" = s ] && "$INGOT" compile m.graph -o m.ll 2>/dev/null || [ "$kind" != ll ] && [ "$kind" != s ] || continue
    "$INGOT" compile m.graph --name=m -o out.$kind
    test -s out.$kind
done
"$INGOT" compile m.graph --name=m -o m.loop
for backend in llvm c; do
    [ $backend = llvm ] && ! "$INGOT" compile m.graph -o m.ll 2>/dev/null && continue
    mkdir -p one two
    "$INGOT" compile m.graph --backend=$backend -o one/libm.so
    "$INGOT" compile m.loop --backend=$backend -o two/libm.so
    diff -r one two
done
"$INGOT" compile m.loop -o again.loop
cmp m.loop again.loop
"$INGOT" compile m.loop -o again.c
cmp out.c again.c
"$INGOT" compile m.graph --stop-after=plan -o p.graph
"$INGOT" compile p.graph --emit=graph -o p2.graph
cmp p.graph p2.graph
# Another folder and another time: the same bytes.
mkdir -p elsewhere && cp m.graph elsewhere/ && sleep 1
(cd elsewhere && TZ=Asia/Tokyo HOME=/nonexistent "$INGOT" compile m.graph -o libm.so)
cmp libm.so elsewhere/libm.so
# A failure leaves what was there.
echo old > libold.so
if "$INGOT" compile m.graph --limits=300K -o libold.so 2>/dev/null; then exit 1; fi
[ "$(cat libold.so)" = old ]
[ -z "$(find . -name '*tmp*')" ]
