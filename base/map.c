/* map.c: the hash map of the compiler, and the hash of bytes.
 *
 * Open addressing with linear probing, a power-of-two table at most 3/4 full, no deletion: the simplest table that is
 * fast.  Keys are mixed before use, as callers pass pointers and small integers.
 * Invariants: value 0 marks an empty slot; values added under one key are found in the order they were added, before
 * and after growth (so nothing depends on where pointers happen to lie).  Old tables stay behind in the arena, together
 * no larger than the table in use.
 * Source: Knuth, TAOCP 3, 6.4 algorithm L; the mixer is MurmurHash3's fmix64.
 */
#include <string.h>

#include "base.h"

static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= UINT64_C(0xFF51AFD7ED558CCD);
    x ^= x >> 33;
    x *= UINT64_C(0xC4CEB9FE1A85EC53);
    return x ^ (x >> 33);
}

static uint32_t slot_of(const Map *map, uint64_t key) { return (uint32_t)mix(key) & (map->cap - 1); }

Map map_new(Arena *arena) { return (Map){.arena = arena}; }

static void insert(Map *map, uint64_t key, uint32_t value) {
    uint32_t i = slot_of(map, key);
    while (map->values[i]) i = (i + 1) & (map->cap - 1);
    map->keys[i] = key;
    map->values[i] = value;
    map->n++;
}

/* Reinserts from the start of a cluster on, cyclically: that keeps the order of equal keys in a cluster that wraps. */
static void grow(Map *map) {
    Map old = *map;
    /* At 2^31 slots there is no larger table: an impossible array makes the arena report and unwind. */
    size_t cap = old.cap > UINT32_MAX / 2 ? SIZE_MAX : old.cap ? (size_t)old.cap * 2 : 16;
    map->keys = arena_new_array(map->arena, uint64_t, cap);
    map->values = arena_new_array(map->arena, uint32_t, cap);
    map->cap = (uint32_t)cap;
    map->n = 0;
    uint32_t start = 0;
    while (start < old.cap && old.values[start]) start++;
    for (uint32_t k = 0; k < old.cap; k++) {
        uint32_t i = (start + k) & (old.cap - 1);
        if (old.values[i]) insert(map, old.keys[i], old.values[i]);
    }
}

void map_add(Map *map, uint64_t key, uint32_t value) {
    if (map->n >= map->cap / 4 * 3) grow(map);
    insert(map, key, value);
}

/* The slot of the first entry under key, or cap. */
static uint32_t find(const Map *map, uint64_t key) {
    if (!map->cap) return 0;
    for (uint32_t i = slot_of(map, key); map->values[i]; i = (i + 1) & (map->cap - 1))
        if (map->keys[i] == key) return i;
    return map->cap;
}

uint32_t map_get(const Map *map, uint64_t key) {
    uint32_t i = find(map, key);
    return i < map->cap ? map->values[i] : 0;
}

void map_set(Map *map, uint64_t key, uint32_t value) {
    uint32_t i = find(map, key);
    if (i < map->cap)
        map->values[i] = value;
    else
        map_add(map, key, value);
}

/* The cursor is the distance from the key's home slot; adding to the map invalidates it. */
uint32_t map_next(const Map *map, uint64_t key, uint32_t *cursor) {
    if (!map->cap) return 0;
    uint32_t home = slot_of(map, key);
    for (;;) {
        uint32_t i = (home + *cursor) & (map->cap - 1);
        if (!map->values[i]) return 0;
        ++*cursor;
        if (map->keys[i] == key) return map->values[i];
    }
}

uint64_t hash_bytes(const void *from, size_t bytes, uint64_t seed) {
    const uint8_t *at = from;
    uint64_t h = hash_mix(seed, bytes), word;
    for (; bytes >= 8; at += 8, bytes -= 8) {
        memcpy(&word, at, 8);
        h = hash_mix(h, word);
    }
    if (bytes) {
        word = 0;
        memcpy(&word, at, bytes);
        h = hash_mix(h, word);
    }
    return h;
}
