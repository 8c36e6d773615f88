/* Web origins as browsers send them in Origin (RFC 6454, 6.2): scheme://host[:port], in lower case, without
 * the port that the scheme has anyway. Nothing here allocates. */
#pragma once

#include "base/slice.h"

#define ORIGIN_BYTES_MAX 300 /* the longest host name, its scheme and its port */

/* Whether a browser can send exactly this text. What it cannot ("null", "*", a path, a capital letter,
 * https://host:443) would stand in a list without ever being met. */
bool origin_is_valid(struct slice origin);
/* Takes the next origin off a list of them with commas between, trimmed. False at the end. */
bool origin_next(struct slice *rest, struct slice *origin);
/* Whether the list has exactly this origin, byte by byte. */
bool origin_is_listed(struct slice list, struct slice origin);
