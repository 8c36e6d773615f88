/* A number for what a JSON text says, whichever way it is written: PostgreSQL's jsonb gives back other
 * spaces, another order of members and other escapes than it was given. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

/* Equal for texts that say the same (numbers as doubles; the order of an array counts, that of an object's
 * members does not). Of a text that is not JSON, or nests deeper than 64, it is that of its bytes. */
uint64_t json_digest(struct slice json);
