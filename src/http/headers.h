/* Reading the header fields that the gateway looks at (RFC 9110). Nothing here allocates. */
#pragma once

#include "base/ids.h"
#include "http/coding.h"
#include "http/status.h"

/* Cuts the next element of a list at a separator outside of quotes, trimmed; false at its end. */
bool header_next_element(struct slice *rest, char separator, struct slice *element);

/* Whether every byte is one that a header's name may hold (RFC 9110, 5.6.2). False for an empty one. */
bool header_name_is_valid(struct slice name);
/* No control character but tab. */
bool header_value_is_valid(struct slice value);

/* Accept: whether JSON is among what the client takes. */
bool header_accepts_json(struct slice accept);
/* Content-Type: application/json, without another charset than UTF-8. */
bool header_is_json(struct slice content_type);
/* Authorization: Bearer; false when it is of another scheme or the token is empty or holds a byte that no
 * token may. */
bool header_bearer(struct slice authorization, struct slice *token);
/* X-Request-Id: 1..128 bytes of letters, digits, '-', '_', '.'. */
bool header_request_id_is_sane(struct slice id);
/* Idempotency-Key: 1..255 printable ASCII characters. */
bool header_idempotency_key_is_valid(struct slice key);

enum if_match { IF_MATCH_ANY, IF_MATCH_VERSION, IF_MATCH_MALFORMED };
/* If-Match: "*", or one entity tag; one that is not of the form "v<version>-..." (or weak) has version -1,
 * which no row has. */
enum if_match header_if_match(struct slice if_match, int64_t *version);
/* If-None-Match: whether `etag` (with its quotes) is in the list, compared weakly and whatever coding its
 * representation was in, or the list is "*". *coding is the one of the tag that matched; it stays as it is
 * for
 * "*". */
bool header_none_match_has(struct slice if_none_match, struct slice etag, enum content_coding *coding);
/* Cache-Control: whether this directive stands in it without a value. */
bool header_has_directive(struct slice cache_control, struct slice directive);
/* The value of a cookie, absent without it. */
struct slice header_cookie(struct slice cookie, struct slice name);
/* A request's method; METHOD_OTHER for one that souk does not know (they are case-sensitive). */
enum http_method http_method_parse(struct slice name);
