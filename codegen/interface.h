/* interface.h: shared by interface*.c and header_text.c alone. */
#pragma once
#include "artifact.h"
#include "lower/program.h"

typedef struct Interface {
    Program p;               /* builder and names, as the host program's writer has them */
    const Graph *g;
    const HostFacts *facts;
    const InterfaceOptions *options;
    InterfaceFacts found;
    VEC(const char *) guards; /* those of the facts, then more */
    uint32_t guard_failed;   /* of the first of four: an index, a capacity, cancelled, sizes */
    uint32_t at[FRAME_SLOTS], fixed_bytes; /* where in a context its arrays lie; its bytes with them */
} Interface;

/* interface.c */
uint32_t interface_guard(Interface *,
                         const char *text); /* its number; text: a status as first byte, %s and %d as ingot_rt_error */
LVal interface_frame_pointer(Interface *, LVal frame, int slot, DType);
LVal interface_word(Interface *, LVal words, int64_t i);              /* load of an i64 */
void interface_set_word(Interface *, LVal words, int64_t i, LVal value);
LVal interface_recast(Interface *, LVal pointer, DType);
LVal interface_address(Interface *, const char *data);                /* of N_<data> */
Val interface_tensor(const Interface *, uint32_t k);                  /* inputs, then outputs */
/* interface_sizes.c: N_init, N_measure, N_layout, N_start, N_enter */
void interface_sizes(Interface *);
bool interface_uses_found(const Interface *, Dim);
Dim interface_bytes(Interface *, uint32_t k, bool upper); /* of a tensor; upper: at least those of all smaller sizes */
void interface_symbols(Interface *, LVal values, uint32_t n);         /* the first n symbols, for program_dim */
/* interface_data.c */
bool interface_data(Interface *);               /* N_private and N_public; fills `found` */
const char *interface_tensor_name(const Graph *, uint32_t k); /* inputs, then outputs: the model's spelling */
const char *interface_dim_text(Context *, Arena *, Dim);

/* Words of an ingot_tensor and of an ingot_call. */
#define TENSOR_WORD(member) ((int64_t)(offsetof(ingot_tensor, member) / 8))
#define CALL_WORD(member) ((int64_t)(offsetof(ingot_call, member) / 8))
enum { TENSOR_WORDS = sizeof(ingot_tensor) / 8, CALL_WORDS = sizeof(ingot_call) / 8 };
