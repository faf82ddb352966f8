/* interface.h: shared by interface.c, interface_data.c and header_text.c alone. */
#pragma once
#include "artifact.h"
#include "lower/program.h"

typedef enum OutputDims { DIMS_EXACT, DIMS_BOUND, DIMS_UPPER } OutputDims; /* found symbols; their capacity; and monotone */
typedef struct Interface {
    Program p;               /* builder and names, as the host program's writer has them */
    const Graph *g;
    const HostFacts *facts;
    const InterfaceOptions *options;
    InterfaceFacts found;
} Interface;
bool interface_data(Interface *);               /* N_private and N_public; fills `found` */
const char *interface_tensor_name(const Graph *, uint32_t k); /* inputs, then outputs: the model's spelling */
const char *interface_dim_text(Context *, Arena *, Dim);
