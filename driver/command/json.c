/* json.c: strings and numbers of JSON; the commands write the rest themselves. */
#include "command.h"
#include <math.h>

void json_string(FILE *to, const char *s) {
    fputc('"', to);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') fprintf(to, "\\%c", c);
        else if (c < 0x20) fprintf(to, "\\u%04x", c);
        else fputc(c, to);
    }
    fputc('"', to);
}

void json_number(FILE *to, double x) {
    if (isfinite(x)) fprintf(to, "%.9g", x);
    else fprintf(to, "null");
}
