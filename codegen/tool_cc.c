/* tool_cc.c: compiles emitted C with a compiler of the system, to an object.
 *
 * The flags keep the bits (no contraction, no fast-math) and drop only what the text cannot observe (errno, traps); the CPU
 * is the Target's, never the build host's.
 */
#include "codegen.h"

bool cc_object(Context *cx, const char *cc_or_null, const Target *target, const char *c_text, size_t n, const char *path) {
    static const char *const compilers[] = {"cc", "gcc", "clang"};
    const char *cc = cc_or_null ? cc_or_null : process_find(cx, compilers, COUNT(compilers));
    if (!cc) {
        diag_machine(cx, (Loc){0}, "no C compiler found on PATH (cc, gcc, clang); install one, or use the LLVM backend");
        return false;
    }
    Temporary *folder = temporary_new(cx);
    if (!folder) return false;
    const char *source = temporary_path(folder, "module.c");
    const char *march = arena_print(cx->arena, "-march=%s", target ? target->cpu : "x86-64");
    const char *extension[COUNT(target->cc_options)];
    for (uint32_t i = 0; i < COUNT(extension); i++)
        extension[i] = target && target->cc_options[i] ? target->cc_options[i] : "-fPIC";
    const char *const argv[] = {
        cc, "-std=gnu99", "-O2", march, extension[0], extension[1], extension[2], extension[3], "-fPIC", "-ffp-contract=off",
        "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-fwrapv", "-fvisibility=hidden", "-w", "-Wno-psabi",
        "-c", source, "-o", path, NULL};
    bool ok = file_write(cx, source, c_text, n, 0600) && process_run(cx, argv);
    temporary_remove(folder);
    return ok;
}
