/* The target of a request (RFC 9112, 3.2): path and query, still escaped, and undoing the escapes exactly
 * once. */
#pragma once

#include "base/arena.h"
#include "http/validation.h"

struct target {
    struct slice path;  /* starts with '/', or is "*" */
    struct slice query; /* absent without '?' */
};

/* Cuts a raw target (origin-form, absolute-form of http and https, or "*"). False when it holds a byte that
 * no target may (controls, space, non-ASCII, '#') or is of another form. */
bool target_split(struct slice raw, struct target *target);

/* Undoes %XX, and '+' when `plus_is_space`. Nothing is copied when there is nothing to undo. False on a
 * malformed escape, or on NUL, which nothing may contain. */
bool target_unescape(struct arena *arena, struct slice raw, bool plus_is_space, struct slice *out);

/* Takes a query apart: name=value, unescaped. False when an escape is bad or there are more than
 * QUERY_PARAMETERS_MAX; `list` has room for that many. */
bool target_parse_query(struct arena *arena, struct slice query, struct raw_parameter *list, size_t *count);
