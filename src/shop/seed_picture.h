/* The pictures of the sample shop: a glyph of db/seeds/glyphs.svg on a background, in the colours of a
 * palette. SVG without any text, so that nothing overflows and no font is missed. */
#pragma once

#include "base/buf.h"

struct palette {
    struct slice sky_top, sky_bottom; /* #rrggbb, all of them */
    struct slice shape;
    struct slice accent;
    struct slice pale;
    struct slice mains[3];
};

enum picture_view {
    PICTURE_WHOLE, /* the thing, standing */
    PICTURE_CLOSE  /* a close-up */
};

struct picture {
    const struct palette *palette;
    struct slice glyph;  /* its name */
    struct slice colour; /* of the thing, #rrggbb; absent: one of the palette's */
    enum picture_view view;
    uint64_t variety; /* any number; pictures with different ones differ */
};

/* What is drawn for a glyph's name; absent when there is none. */
struct slice picture_glyph(struct slice name);
struct slice picture_draw(struct arena *arena, const struct picture *picture);
