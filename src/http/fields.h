/* The `fields` parameter: keeps only the named members of a reply. Works on the JSON text that our own writer
 * made. */
#pragma once

#include "base/buf.h"

#define FIELDS_MAX 32

/* Writes `json` to `out`: of an object its `id` and the members named in `fields` (comma-separated), of an
 * array the same for each of its objects, anything else as it is. False when a name is empty, there are more
 * than FIELDS_MAX, or a name is in none of a non-empty result: then *unknown is that name and `out` is
 * worthless. */
bool fields_select(struct slice json, struct slice fields, struct buf *out, struct slice *unknown);
