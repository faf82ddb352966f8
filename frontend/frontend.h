/* frontend.h: what imports a model into the Graph IR.  The one header of this layer.
 *
 * Each importer reads mapped bytes it never copies (weights become views of them), reports what it cannot do as
 * diagnostics that name the node, and builds with graph->fold off, so that every imported graph can be written down.
 */
#pragma once
#include "ir.h"

/* A graph input whose value is fixed at import. */
typedef struct ImportConstant {
    const char *name;
    DType dtype;
    uint32_t rank;
    const int64_t *dims;
    const void *data;               /* dense; sub-byte types one byte an element; outlives the Context */
} ImportConstant;

typedef struct ImportOptions {
    const char *const *dims;        /* declarations of symbols: "batch=1..64%8", "seq=..4096", "n=7" */
    uint32_t n_dims;
    bool *dims_used;                /* n_dims: set where the model has the dim; NULL: one that it has not is a mistake */
    bool symbolic_inputs;           /* every extent of every input becomes a fresh symbol, except the lengths of 1-D
                                       i64 inputs; nothing the model declares about shapes is believed */
    const ImportConstant *constants;
    uint32_t n_constants;
    const char *external_folder;    /* where external data may lie; NULL: none is read */
} ImportOptions;

/* One function: parameters are the graph's inputs without those that have an initialiser; results its outputs.
 * NULL after diagnostics.  file_name is for messages.  bytes outlive the Context. */
Graph *onnx_import(Context *, const char *file_name, const uint8_t *bytes, size_t n, const ImportOptions *options_or_null);

/* Everything in a model that the importer does not know, without stopping at the first. */
typedef enum OnnxIssueKind {
    ONNX_ISSUE_OP,                  /* no such operator here */
    ONNX_ISSUE_OPSET,               /* a version or domain of operators that is not known */
    ONNX_ISSUE_DTYPE,               /* an element type that is not known */
    ONNX_ISSUE_ATTRIBUTE,           /* an attribute that is not known */
    ONNX_ISSUE_IMPORT               /* the operator is known, this use of it is not: the importer's diagnostic */
} OnnxIssueKind;
typedef struct OnnxIssue {
    OnnxIssueKind kind;
    const char *subject;            /* "StringSplit", "com.microsoft.MoE", "complex64", "Conv.foo" */
    const char *detail;             /* what is known instead; "" where nothing is */
    int64_t opset;                  /* of the subject's domain; 0 where it does not matter */
    uint32_t count;
    const char *const *nodes;       /* names of the first of them */
    uint32_t n_nodes;
} OnnxIssue;
typedef struct OnnxOpCount {
    const char *op;
    uint32_t count;
    bool known;
} OnnxOpCount;
typedef struct OnnxExplanation {
    int64_t ir_version, opset;
    const char *producer;
    uint32_t nodes, initializers, functions;
    const OnnxOpCount *ops;         /* by name */
    uint32_t n_ops;
    const OnnxIssue *issues;
    uint32_t n_issues;
} OnnxExplanation;
/* Memory of the Context; false where the file is no ONNX model (after a diagnostic). */
bool onnx_explain(Context *, const char *file_name, const uint8_t *bytes, size_t n, const ImportOptions *options_or_null,
                  OnnxExplanation *);

/* A TensorProto that stands alone in a file (test data); data in the Context's memory, never a splat. */
NODISCARD bool onnx_read_tensor(Context *, const char *file_name, const uint8_t *bytes, size_t n, Tensor *out);
