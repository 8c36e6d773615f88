/* What a handler fills. For an operation that is not bare the gateway writes {"data": ... } around what the
 * handler writes to `json`, adds "pagination" when response_page was called, selects `fields`, makes the ETag
 * and sets the headers. A handler that wants another Cache-Control or ETag than the gateway's sets it with
 * response_header. */
#pragma once

#include "base/json_writer.h"
#include "base/metrics.h"
#include "http/problem.h"
#include "http/request.h"

#define RESPONSE_HEADERS_MAX 12

struct response_header {
    const char *name; /* a literal */
    struct slice value;
};

struct pagination {
    bool is_present;
    int64_t limit;
    struct slice next_cursor; /* absent on the last page */
    bool has_total;
    int64_t total;
    bool total_is_capped; /* shown as "10000+" */
};

struct response_drop;
struct response_count;

struct response {
    struct arena *arena;
    struct buf body;
    struct json_writer json;
    const char *content_type;
    struct response_header headers[RESPONSE_HEADERS_MAX];
    unsigned header_count;
    int64_t version; /* of the row, in the ETag; 0 for lists and computed resources */
    struct pagination pagination;
    struct slice tags[CACHE_TAGS_MAX]; /* of the cached entry, beside the operation's own */
    unsigned tag_count;
    struct response_drop *drops;
    struct response_count *counts;
    const char *problem_code; /* set by problem() */
    bool is_uncacheable;
    /* the gateway's own */
    struct slice prefix;  /* what the body starts with before the handler writes: {"data": */
    bool database_failed; /* problem_database(DB_ERROR): the transaction may be worth another run */
};

/* Makes an empty response that writes into `arena`, whatever it held before (a closure may run again).
 * `is_bare`: nothing is put around what the handler writes. */
void response_init(struct response *response, struct arena *arena, bool is_bare);
/* What the handler wrote, without what the gateway puts around it. */
struct slice response_content(const struct response *response);
/* The header that was set under this name (as written there), or absent. */
struct slice response_header_value(const struct response *response, const char *name);
/* Does what waited for the commit: drops the tags, adds to the metrics. Once; `cache` may be NULL. */
struct cache;
void response_run_effects(struct response *response, struct cache *cache);

/* A response header; `name` is a literal, the value must be free of control characters. It is copied into the
 * arena, with a NUL behind it. */
void response_header(struct response *response, const char *name, struct slice value);
/* The row's version, for the ETag and If-Match. */
void response_version(struct response *response, int64_t version);
/* Location of what was created: "/products/" and its id. */
void response_location(struct response *response, const char *collection, struct uuid id);
/* The entry that the cache may make of this reply carries this tag: "product", id -> product:ID. */
void response_tag(struct response *response, const char *kind, struct uuid id);
/* After the commit: drop what carries the tag from the cache. `tag` is a literal. */
void response_drop(struct response *response, const char *tag);
void response_drop_id(struct response *response, const char *kind, struct uuid id);
/* After the commit: entries that carry the tag are shown for a second at most (a sale of a hot product). */
void response_fade_id(struct response *response, const char *kind, struct uuid id);
/* After the commit: add to a metric. */
void response_count(struct response *response, struct metric *metric, int64_t amount);
/* 412 when If-Match was sent and names another version; 0 otherwise. Use as: if ((status =
 * response_precondition(...))) return status; */
enum http_status response_precondition(struct response *response, const struct request *request,
                                       int64_t version);
