/* region.h: shared by the files that import subgraphs: ops_control.c (If, Scan) and ops_loop.c.  Implemented by region.c. */
#pragma once
#include "onnx.h"

#define region_open     onnx_region_open
#define region_param    onnx_region_param
#define region_result   onnx_region_result
#define region_operands onnx_region_operands
#define region_results  onnx_region_results
#define region_taken    onnx_region_taken
#define known_flag      onnx_known_flag
#define scalar_of       onnx_scalar_of
#define same_types      onnx_same_types
#define emit_scan       onnx_emit_scan

enum { UNROLL_MOST = 4096 };        /* steps, or sequences of a batch */

/* A subgraph being imported into a Graph of its own. */
typedef struct Region {
    NameScope *scope;
    Call call;                      /* the operator's call, seen from inside */
} Region;
/* An axis that crosses a region's border at its capacity; the extent travels beside it. */
typedef struct Varying {
    uint32_t value, axis;           /* of which output or carried value */
    Dim capacity;
} Varying;
typedef VEC(Varying) VaryingVec;

Region region_open(Call *, const char *name);
/* A parameter of the region with the type of an outer value, less its first axes. */
Val region_param(Region *, const Graph *outer, Val like, const char *name, uint32_t drop_axes);
bool region_result(Region *, const Value *, const char *name);
/* Results of a region: values with their varying axes at capacity, then those axes' extents. */
bool region_results(Region *, const OnnxValueInfo *names, const Value *, uint32_t n, const VaryingVec *);
/* What a region handed on, out of its tuple: value i, and the extents from result `first` on. */
Val region_taken(Call *, Val all, uint32_t i, uint32_t first, const VaryingVec *, const char *name);
/* The operands of the node that holds the region: own ones, then what it captures. */
Val *region_operands(Call *, const Region *, const Val *own, uint32_t n_own, uint32_t *n);
bool known_flag(Call *, Value *, bool *flag);             /* a bool that is known at import */
Val scalar_of(Call *, Val);
/* Results of the body from `first` on have the types of the values carried. */
bool same_types(Call *, const Graph *body, const Val *carried, uint32_t n, uint32_t first);
/* Emits scan over operands carried.., scanned..; results are the tuple. */
Val emit_scan(Call *, Region *, const Val *own, uint32_t carried, uint32_t scanned, Dim trip);
