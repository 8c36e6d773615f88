/* Options: {"Size":"M"}. Some pick a variant, the others are what the shopper wishes besides (an engraving).
 */
#pragma once

#include "base/arena.h"

enum option_match {
    OPTIONS_MATCH,   /* every option of the variant is met (or it has none) */
    OPTIONS_MISSING, /* one is not named */
    OPTIONS_DIFFER   /* one is named with another value */
};

/* Holds what the shopper sent against one variant's options; both are JSON objects of texts, `wanted` may be
 * absent. */
enum option_match options_match(struct slice variant_options, struct slice wanted);
/* What of `wanted` the variant's options do not name: compact JSON with sorted keys, "{}" without any. */
struct slice options_wishes(struct arena *arena, struct slice variant_options, struct slice wanted);
/* Both objects as one, the variant's first. */
struct slice options_join(struct arena *arena, struct slice variant_options, struct slice wishes);
