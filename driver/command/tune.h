/* tune.h: shared by tune.c (measuring, the search) and tune_space.c (what there is to search). */
#pragma once
#include "command.h"

enum { MOST_FIELDS = 12, MOST_POINTS = 3 };
typedef struct Values { int64_t at[MOST_FIELDS]; } Values;
/* Kernels of one function: they take the same numbers. */
typedef struct TuneGroup {
    const char *function;
    const char *field[MOST_FIELDS];
    uint32_t n_fields, n_tried;
    Values start, best, candidate;
    Values *tried;
    double ratio;            /* of the best to the default */
    bool done, trying;
} TuneGroup;
typedef struct TuneKernel { char *head; uint32_t group; } TuneKernel; /* "\"nodes\" #2" */
typedef struct Tuner {
    Arguments *a;
    int threads;
    double end;              /* of the budget, on the monotonic clock */
    Session base;            /* the default */
    char *text, *schedules;  /* of the artifact being compiled; the default's, which fields' names lie in */
    uint32_t *line_group;    /* by line of the last text */
    uint32_t n_lines, n_refused;
    TuneKernel *kernels;
    TuneGroup *groups;
    uint32_t n_kernels, n_groups, rounds, n_points;
    uint64_t repeat;         /* runs of one measurement */
    int64_t *points[MOST_POINTS]; /* values of the symbols */
} Tuner;

/* tune_space.c */
int tune_points(Tuner *);                 /* the ends and the middle of the ranges that --dim gives */
int tune_kernels(Tuner *);                /* kernels and groups from the default's schedules */
bool tune_propose(Tuner *);               /* a candidate for every group that has one left */
void tune_learn(Tuner *, const double *ratio, double better);
void tune_refuse(Tuner *, uint32_t line); /* of the last text: never again */
void tune_revert(Tuner *, const double *ratio, double most); /* groups above `most` take the default again */
uint32_t tune_changed(const Tuner *);     /* kernels that differ from the default */
/* Lines of all that differ from the default; candidates, or the best with this CPU's name.  malloc'd. */
int tune_text(Tuner *, bool candidates, char **text);
void tune_free(Tuner *);
