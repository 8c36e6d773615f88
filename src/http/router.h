/* Finds the operation of a method and a path. Built once from the operation table, constant afterwards: a
 * tree with one level a path segment. A literal segment beats a {parameter}: /cart/me stands before
 * /cart/{id}. */
#pragma once

#include "base/arena.h"
#include "http/operation.h"

#define ROUTE_PARAMETERS_MAX 4
#define ROUTE_SEGMENTS_MAX 10

struct router;

enum route_result {
    ROUTE_FOUND,
    ROUTE_NO_PATH,   /* 404 */
    ROUTE_NO_METHOD, /* 405; `methods` says which there are */
    ROUTE_MALFORMED  /* 400: a bad escape or a NUL */
};

struct route {
    const struct operation *operation;         /* with ROUTE_FOUND */
    struct slice values[ROUTE_PARAMETERS_MAX]; /* of the path's parameters, in its order, unescaped */
    size_t value_count;
    unsigned methods; /* with ROUTE_FOUND, ROUTE_NO_METHOD: bits 1 << enum http_method */
};

/* The table must outlive the router. Two operations of one method and path are a programmer error and abort.
 */
struct router *router_new(const struct operation_table *table);
void router_free(struct router *router);

/* `path` is raw; each segment is unescaped once, so that an escaped slash stays inside its segment. HEAD
 * finds GET. Unescaped copies live in `arena`. */
enum route_result router_find(const struct router *router, struct arena *arena, enum http_method method,
                              struct slice path, struct route *route);
