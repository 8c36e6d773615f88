/* Keyset pagination: opaque, signed cursors that hold the sort key of the last row and are bound to
 * operation, sort and filters. A list fetches limit + 1 rows; the extra one only says that there is more. */
#pragma once

#include "http/response.h"

#define CURSOR_VALUES_MAX 4

/* What a cursor is good for: mix in everything that shapes the list (sort, filters). */
struct cursor_scope {
    uint64_t hash;
};

void cursor_scope_init(struct cursor_scope *scope, const struct operation *operation);
void cursor_scope_add(struct cursor_scope *scope, struct slice text); /* absent differs from empty */
void cursor_scope_add_int(struct cursor_scope *scope, int64_t value);

/* Reads a cursor made for this scope into `values` of the given types (texts live in the request's arena).
 * False when it was tampered with or made for another list: the caller answers problem_field(response,
 * "cursor", "INVALID", ...). */
bool cursor_open(const struct request *request, const struct cursor_scope *scope, struct slice cursor,
                 const enum db_type *types, size_t count, struct db_value *values);
/* The cursor that continues behind a row with these sort values. */
struct slice cursor_make(const struct request *request, const struct cursor_scope *scope,
                         const struct db_value *values, size_t count);

/* Tells the gateway what to write under "pagination". next_cursor is absent on the last page. */
void response_page(struct response *response, int64_t limit, struct slice next_cursor);
/* A count that stopped at PAGE_TOTAL_MAX + 1 is shown as "10000+". */
void response_page_total(struct response *response, int64_t counted);
