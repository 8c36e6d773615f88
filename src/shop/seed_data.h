/* The files of db/seeds, compiled into the binary, and reading JSON out of them. They are part of the
 * program: what is wrong in them is a programmer error and stops it (a test reads them all). */
#pragma once

#include "http/validation.h"

#include <jansson.h>

struct seed_file {
    const char *name; /* products.json */
    const char *text;
};

/* Ends with {NULL, NULL}; made by cmake/embed_files.cmake. */
extern const struct seed_file seed_files[];

struct slice seed_text(const char *name);
/* A parsed file; the caller gives it back with json_decref. */
json_t *seed_json(const char *name);

/* Members of an object. Texts are copied into the arena. */
struct slice seed_member(struct arena *arena, const json_t *object,
                         const char *key); /* absent when it is not there */
int64_t seed_member_int(const json_t *object, const char *key, int64_t otherwise);
bool seed_member_flag(const json_t *object, const char *key);

/* The texts of an array. */
struct slice_list seed_texts(struct arena *arena, const json_t *array);
/* As compact JSON. */
struct slice seed_compact(struct arena *arena, const json_t *value);
