# Caches donated by the caller: the bits of the model that copies them, step by step, and what happens to wrong ones.
. "$(dirname "$0")/common.bash"
example=$ABI/../../examples/decode
cp "$example/step.graph" .
ingot compile step.graph --name=plain -o libplain.so
ingot compile step.graph --name=step --donate=k=past_k,v=past_v --threads -o libstep.so
ingot compile step.graph --name=late --donate=k=past_k,v=past_v --emit=graph --stop-after=plan -o planned.graph
ingot compile planned.graph --name=late -o liblate.so
host donate
./donate ./libplain.so ./libstep.so
./donate ./libplain.so ./liblate.so
cc -std=c99 -Wall -Wextra -Werror -I. "$example/decode.c" -o decode -L. -lstep -Wl,-rpath,.
./decode > said
grep -q '^12 tokens, then: no room in .past_k. for what is appended (new+past <= past_capacity)' said || fail "$(cat said)"
[ "$(nm -D libstep.so | grep -c ' U memmove')" = 0 ]
