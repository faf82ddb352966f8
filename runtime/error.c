/* error.c: messages into the caller's buffer, without snprintf: artifacts import no stdio.
 *
 * Texts are cut off at the end of the buffer and always end in NUL.
 */
#include "ingot_frame.h"
#include <stdarg.h>

ingot_status ingot_rt_error(ingot_error *err, const char *format, ...) {
    ingot_status code = *format++;
    va_list args;
    if (!err) return code;
    err->code = code;
    char *to = err->text, *end = to + sizeof err->text - 1, digits[24];
    va_start(args, format);
    while (*format) {
        const char *text = format, *stop = text + 1;
        if (*format++ == '%') {
            stop = NULL;
            if (*format++ == 's') {
                text = va_arg(args, const char *);
            } else {
                int64_t value = va_arg(args, int64_t);
                uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
                char *p = digits + sizeof digits - 1;
                *p = 0;
                do *--p = (char)('0' + rest % 10);
                while (rest /= 10);
                if (value < 0) *--p = '-';
                text = p;
            }
        }
        while (text != stop && *text && to < end) *to++ = *text++;
    }
    *to = 0;
    va_end(args);
    return code;
}
