/* Unicode text (libunistring): checking, folding for search and sort, slugs. */
#pragma once

#include "base/arena.h"

/* Valid UTF-8 (no surrogates, no overlong forms) without NUL. */
bool text_is_valid(struct slice text);

/* Number of code points; the text is valid. */
size_t text_length(struct slice text);
/* For sorting and comparing: NFKD, case-folded, marks (Mn) and invisible characters removed, letters that
 * Unicode does not decompose spelled out (ae for æ, o for ø, l for ł, d for đ, th for þ), runs of white space
 * to one space, trimmed. "  Café   Crème " -> "cafe creme", "Straße" -> "strasse". The text is valid
 * (asserted). Never absent. */
struct slice text_fold(struct arena *arena, struct slice text);

/* For comparing without regard to case only: case-folded and composed (NFC), everything else kept, accents
 * and spaces too. "JOSÉ@Example.com" -> "josé@example.com", "Straße" -> "strasse". The text is valid
 * (asserted). Never absent. */
struct slice text_fold_case(struct arena *arena, struct slice text);

#define TEXT_SLUG_MAX 80
/* For paths: folded, a-z and 0-9 kept, every run of anything else one '-', none at the ends; at most 80
 * bytes, cut behind a word when that keeps half of it. Empty when nothing is left (a name in Chinese): the
 * caller then needs another slug. An apostrophe joins: "Men's" -> "mens". */
struct slice text_slug(struct arena *arena, struct slice text);
