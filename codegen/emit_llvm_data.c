/* emit_llvm_data.c: data objects of Loop IR as LLVM globals.
 *
 * An object with relocations is a packed struct of byte arrays and pointers.  Weights that another object holds are declared
 * only; they are not marked local to the module, so that code reaches them through the GOT at any distance.
 */
#include "emit_llvm.h"
#include <string.h>

LLVMValueRef llvm_symbol(LlvmPrinter *p, const char *name) {
    LLVMValueRef v = LLVMGetNamedGlobal(p->module, name);
    if (!v) v = LLVMGetNamedFunction(p->module, name);
    if (!v) v = LLVMAddGlobal(p->module, p->types[DT_u8], name); /* from outside */
    return v;
}

static LLVMTypeRef bytes_type(LlvmPrinter *p, uint64_t n) { return LLVMArrayType2(p->types[DT_u8], n); }
static LLVMValueRef bytes_value(LlvmPrinter *p, const LData *d, uint64_t from, uint64_t n) {
    const uint8_t *bytes = n ? loop_data_bytes(p->m, d) : NULL;
    if (!bytes) return LLVMConstNull(bytes_type(p, n));
    return LLVMConstStringInContext2(p->context, (const char *)bytes + from, n, 1);
}

static LLVMTypeRef data_type(LlvmPrinter *p, const LData *d) {
    if (!d->n_relocs) return bytes_type(p, d->size);
    LLVMTypeRef *members = arena_new_array(p->arena, LLVMTypeRef, 2 * d->n_relocs + 1);
    uint64_t at = 0;
    for (uint32_t i = 0; i <= d->n_relocs; i++) {
        uint64_t next = i < d->n_relocs ? d->relocs[i].offset : d->size;
        if (next < at || next > d->size || (i < d->n_relocs && next + 8 > d->size))
            BUG(p->cx, "relocation %u of '%s'", i, d->name);
        members[2 * i] = bytes_type(p, next - at);
        if (i < d->n_relocs) members[2 * i + 1] = p->ptr;
        at = next + 8;
    }
    return LLVMStructTypeInContext(p->context, members, 2 * d->n_relocs + 1, 1);
}

static LLVMValueRef data_value(LlvmPrinter *p, const LData *d) {
    if (!d->n_relocs) return bytes_value(p, d, 0, d->size);
    LLVMValueRef *members = arena_new_array(p->arena, LLVMValueRef, 2 * d->n_relocs + 1);
    uint64_t at = 0;
    for (uint32_t i = 0; i <= d->n_relocs; i++) {
        uint64_t next = i < d->n_relocs ? d->relocs[i].offset : d->size;
        members[2 * i] = bytes_value(p, d, at, next - at);
        if (i < d->n_relocs) {
            LLVMValueRef addend = LLVMConstInt(p->types[DT_i64], (unsigned long long)d->relocs[i].addend, 1);
            members[2 * i + 1] = LLVMConstGEP2(p->types[DT_u8], llvm_symbol(p, d->relocs[i].symbol), &addend, 1);
        }
        at = next + 8;
    }
    return LLVMConstStructInContext(p->context, members, 2 * d->n_relocs + 1, 1);
}

void llvm_data(LlvmPrinter *p) {
    LLVMValueRef *globals = arena_new_array(p->arena, LLVMValueRef, p->m->datas.n);
    for (uint32_t i = 0; i < p->m->datas.n; i++) {
        const LData *d = &p->m->datas.at[i];
        globals[i] = LLVMAddGlobal(p->module, data_type(p, d), d->name);
        LLVMSetGlobalConstant(globals[i], !(d->flags & LD_WRITABLE));
        LLVMSetAlignment(globals[i], d->align ? d->align : 1);
    }
    for (uint32_t i = 0; i < p->m->datas.n; i++) {
        const LData *d = &p->m->datas.at[i];
        if (d->flags & LD_WEIGHTS && p->options->external_weights) continue;
        if (!(d->flags & LD_EXPORT)) LLVMSetLinkage(globals[i], LLVMInternalLinkage);
        LLVMSetInitializer(globals[i], data_value(p, d));
    }
}
