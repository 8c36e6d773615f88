/* Content codings (RFC 9110, 8.4.1): which one a client takes, and compressing. */
#pragma once

#include "base/arena.h"

enum content_coding { CODING_IDENTITY, CODING_GZIP, CODING_BR, CODING_COUNT };

/* As in Content-Encoding; NULL for CODING_IDENTITY. */
const char *coding_name(enum content_coding coding);

/* Accept-Encoding (RFC 9110, 12.5.3; absent: identity): the coding that the client likes best of those that
 * souk makes, br before gzip before identity among equals. What is malformed is not taken for a wish. A
 * client that refuses even identity gets it: better than nothing. Allocates nothing. */
enum content_coding coding_choose(struct slice accept_encoding);

/* The body in the coding, in the arena; absent when that saves less than a tenth, or does not fit into the
 * arena. Takes about 25 ns a byte (gzip) or 40 (br): not for threads that must not block. */
struct slice coding_compress(enum content_coding coding, struct arena *arena, struct slice body);

/* The strong entity tag of a representation in this coding: "v1-ab" -> "v1-ab-gzip". With a NUL behind it. */
struct slice coding_etag(enum content_coding coding, struct arena *arena, struct slice etag);
/* Whether `tag` is the tag of a representation that differs from `etag`'s by its coding at most; then
 * *coding is that. */
bool coding_etag_matches(struct slice tag, struct slice etag, enum content_coding *coding);
