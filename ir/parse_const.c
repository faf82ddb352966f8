/* parse_const.c: constants in a graph's text: one number, a list, or a place in the blob.
 *
 * Numbers must be in the dtype's range; floats round to it.  0x… under a float dtype are the
 * element's bits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph_text.h"

static bool out_of_range(Parser *p, DType dtype) {
    return parse_fail(p, "found '%.60s', a number in the range of %s expected", p->token.text,
                      dtype_info[dtype].name);
}

static bool parse_integer(Parser *p, DType dtype, Scalar *x) {
    char *end;
    if (p->token.kind != TOKEN_NUMBER)
        return out_of_range(p, dtype);
    bool negative = *p->token.text == '-';
    errno = 0;
    if (dtype_is_signed(dtype))
        x->i = strtoll(p->token.text, &end, 10);
    else
        x->u = strtoull(p->token.text, &end, 10);
    if (errno || *end || (negative && !dtype_is_signed(dtype)) || scalar_wrap(dtype, *x).u != x->u)
        return out_of_range(p, dtype);
    lex_next(p);
    return !p->failed;
}

static bool parse_bits(Parser *p, DType dtype, uint8_t out[8]) {
    char *end;
    errno = 0;
    unsigned long long bits = strtoull(p->token.text, &end, 16);
    if (errno || *end || (dtype_info[dtype].bits < 64 && bits >> dtype_info[dtype].bits))
        return out_of_range(p, dtype);
    uint64_t raw = bits;
    memcpy(out, &raw, sizeof raw); /* hosts are little-endian, as mapped files are */
    lex_next(p);
    return !p->failed;
}

static bool parse_element(Parser *p, DType dtype, uint8_t out[8]) {
    Scalar x = {.u = 0};
    if (p->failed)
        return false;
    if (dtype_is_bool(dtype)) {
        x.u = lex_is_name(p, "true");
        if (!x.u && !lex_is_name(p, "false"))
            return parse_fail(p, "found '%.60s', true or false expected", p->token.text);
        lex_next(p);
    } else if (!dtype_is_float(dtype)) {
        if (!parse_integer(p, dtype, &x))
            return false;
    } else if (p->token.kind == TOKEN_NUMBER && strncmp(p->token.text, "0x", 2) == 0) {
        return parse_bits(p, dtype, out);
    } else if (!parse_float(p, dtype, &x.f)) {
        return false;
    }
    scalar_store(dtype, out, x);
    return !p->failed;
}

static bool parse_list(Parser *p, DType dtype, Text *bytes) {
    if (!lex_expect(p, "["))
        return false;
    for (bool first = true; !lex_is(p, "]"); first = false) {
        uint8_t element[8] = {0};
        if ((!first && !lex_expect(p, ",")) || !parse_element(p, dtype, element))
            return false;
        text_add_n(bytes, (const char *)element, (size_t)dtype_bytes(dtype));
    }
    return lex_expect(p, "]");
}

static bool parse_blob(Parser *p, DType dtype, uint64_t *elements, const uint8_t **data) {
    int64_t offset, n, bytes, end;
    if (!lex_expect(p, "(") || !parse_int(p, 0, INT64_MAX, &offset) || !lex_expect(p, ",") ||
        !parse_int(p, 0, INT64_MAX, &n) || !lex_expect(p, ")"))
        return false;
    if (!ck_mul(n, dtype_bytes(dtype), &bytes) || !ck_add(offset, bytes, &end) ||
        (uint64_t)end > p->blob_bytes)
        return parse_fail(p, "the constant before this ends beyond the %zu bytes of the blob",
                          p->blob_bytes);
    *elements = (uint64_t)n;
    *data = n ? p->blob + offset : NULL;
    return true;
}

bool parse_const(Parser *p, Const *out) {
    DType dtype;
    Encoding encoding = ENCODING_DENSE;
    if (!parse_dtype(p, &dtype))
        return false;
    if (lex_accept(p, "{")) {
        if (!parse_encoding(p, &encoding))
            return false;
    }
    uint64_t elements = 0;
    const uint8_t *data = NULL;
    if (lex_accept_name(p, "blob")) {
        if (!parse_blob(p, dtype, &elements, &data))
            return false;
        *out = const_encoded(p->cx, dtype, encoding, elements, data);
        return true;
    }
    if (lex_is(p, "[")) {
        Text bytes = text_new(p->cx->arena);
        if (!parse_list(p, dtype, &bytes))
            return false;
        elements = bytes.n / (size_t)dtype_bytes(dtype);
        *out = const_encoded(p->cx, dtype, encoding, elements, bytes.at);
        return true;
    }
    if (encoding != ENCODING_DENSE)
        return parse_fail(p, "one number cannot be encoded");
    uint8_t bits[8] = {0};
    if (!parse_element(p, dtype, bits))
        return false;
    *out = const_splat(p->cx, dtype, scalar_load(dtype, bits));
    return true;
}
