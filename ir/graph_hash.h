/* graph_hash.h: private to graph.c and graph_hash.c: structural keys of nodes. */
#pragma once
#include "ir.h"

/* Over op, operands and attributes; not the location, nor a parameter's name. */
uint64_t node_hash(const Node *);
bool node_equal(const Node *, const Node *);
