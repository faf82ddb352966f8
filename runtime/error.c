/* error.c: messages into the caller's buffer, without snprintf: artifacts import no stdio.
 *
 * Texts are cut off at the end of the buffer and always end in NUL.
 */
#include "ingot_frame.h"

ingot_status ingot_rt_error(ingot_error *err, const char *format, const char *name, int64_t a, int64_t b, int64_t c) {
    int64_t values[3];
    const int64_t *value = values;
    ingot_status code = *format;
    values[0] = a;
    values[1] = b;
    values[2] = c;
    if (!err) return code;
    err->code = code;
    char *to = err->text;
    while (*++format) {
        char digits[24], *text = digits + sizeof digits - 1;
        *text = 0;
        if (*format != '%') {
            *--text = *format;
        } else if (*++format == 's') {
            text = (char *)(uintptr_t)name;
        } else {
            uint64_t rest = *value < 0 ? 0 - (uint64_t)*value : (uint64_t)*value;
            do *--text = (char)('0' + rest % 10);
            while (rest /= 10);
            if (*value++ < 0) *--text = '-';
        }
        while (*text && to < err->text + sizeof err->text - 1) *to++ = *text++;
    }
    *to = 0;
    return code;
}
