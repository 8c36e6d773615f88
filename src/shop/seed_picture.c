/* Drawing the sample shop's pictures: see seed_picture.h. The canvas is 400 x 400. */
#include "shop/seed_picture.h"

#include "base/check.h"
#include "base/crypto.h"
#include "shop/seed_data.h"

#include <stdio.h>

/* ---- colours ---- */

#define COLOUR_LEN 7 /* #rrggbb */

struct colour {
    int parts[3]; /* red, green, blue: 0..255 */
};

static struct colour colour_read(struct slice text)
{
    CHECK(text.len == COLOUR_LEN && text.ptr[0] == '#');
    struct colour colour;
    for (size_t i = 0; i < 3; i++)
        colour.parts[i] = hex_value(text.ptr[1 + 2 * i]) * 16 + hex_value(text.ptr[2 + 2 * i]);
    return colour;
}

/* `percent` of b, the rest of a. */
static struct slice colour_mix(struct arena *arena, struct slice a, struct slice b, int percent)
{
    struct colour one = colour_read(a);
    struct colour other = colour_read(b);
    for (size_t i = 0; i < 3; i++)
        one.parts[i] = (one.parts[i] * (100 - percent) + other.parts[i] * percent) / 100;
    return arena_format(arena, "#%02x%02x%02x", (unsigned)one.parts[0], (unsigned)one.parts[1],
                        (unsigned)one.parts[2]);
}

/* What the five colours of glyphs.svg become. */
struct tints {
    struct slice main, dark, light, accent, pale;
};

#define INK SLICE("#2a1f1a")
#define WHITE SLICE("#ffffff")

static int lightness_of(struct slice text)
{
    struct colour colour = colour_read(text);
    return (3 * colour.parts[0] + 6 * colour.parts[1] + colour.parts[2]) / 10;
}

static struct tints tints_of(struct arena *arena, const struct picture *picture)
{
    const struct palette *palette = picture->palette;
    struct slice main = picture->colour;
    if (slice_is_absent(main))
        main = palette->mains[picture->variety % COUNT_OF(palette->mains)];
    bool is_pale = lightness_of(main) > 190;
    return (struct tints){
        .main = main,
        .dark = colour_mix(arena, main, INK, is_pale ? 62 : 48),
        /* A pale thing has its details in a darker shade, since no lighter one would show. */
        .light = is_pale ? colour_mix(arena, main, INK, 16) : colour_mix(arena, main, WHITE, 42),
        .accent = palette->accent,
        .pale = palette->pale,
    };
}

/* ---- glyphs ---- */

struct slice picture_glyph(struct slice name)
{
    struct slice sheet = seed_text("glyphs.svg");
    char begin[64];
    int len = snprintf(begin, sizeof(begin), "<symbol id=\"%.*s\"", SLICE_ARG(name));
    CHECK(len > 0 && (size_t)len < sizeof(begin));
    const char *at = strstr(sheet.ptr, begin);
    if (at == NULL)
        return SLICE_ABSENT;
    at = strchr(at, '>');
    CHECK(at != NULL);
    const char *end = strstr(at, "</symbol>");
    CHECK(end != NULL);
    return (struct slice){at + 1, (size_t)(end - at) - 1};
}

/* The colour that stands for another in the sheet, or absent. */
static struct slice tint_for(const struct tints *tints, struct slice text)
{
    const struct {
        struct slice sign, tint;
    } table[] = {
        {SLICE("#b85c38"), tints->main},   {SLICE("#7a3b22"), tints->dark}, {SLICE("#e0a184"), tints->light},
        {SLICE("#2f5d62"), tints->accent}, {SLICE("#fff4e6"), tints->pale},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (slice_starts_with(text, table[i].sign))
            return table[i].tint;
    }
    return SLICE_ABSENT;
}

static void glyph_append(struct buf *out, struct slice glyph, const struct tints *tints)
{
    struct slice part;
    bool is_behind_sign = false;
    while (slice_split(&glyph, '#', &part)) {
        if (is_behind_sign) {
            struct slice tint = tint_for(tints, (struct slice){part.ptr - 1, part.len + 1});
            CHECK(!slice_is_absent(tint)); /* glyphs.svg says which colours it may use */
            buf_append(out, tint);
            part = slice_skip(part, COLOUR_LEN - 1);
        }
        buf_append(out, part);
        is_behind_sign = true;
    }
}

/* ---- backgrounds ---- */

/* Each draws into the sky with the palette's shape colour; `v` shifts it a little. */
static void draw_sun(struct buf *out, const struct palette *p, int v)
{
    buf_format(out, "<circle cx=\"%d\" cy=\"%d\" r=\"128\" fill=\"%.*s\" opacity=\".55\"/>", 150 + v,
               160 + v / 4, SLICE_ARG(p->shape));
}

static void draw_arch(struct buf *out, const struct palette *p, int v)
{
    buf_format(out,
               "<path d=\"M%d 400V190a%d %d 0 0 1 %d 0V400Z\" fill=\"%.*s\" opacity=\".5\"/>"
               "<path d=\"M0 322H400V400H0Z\" fill=\"%.*s\" opacity=\".35\"/>",
               60 + v / 5, 140 - v / 5, 140 - v / 5, 280 - 2 * (v / 5), SLICE_ARG(p->shape),
               SLICE_ARG(p->shape));
}

static void draw_hills(struct buf *out, const struct palette *p, int v)
{
    buf_format(out,
               "<circle cx=\"%d\" cy=\"96\" r=\"42\" fill=\"%.*s\" opacity=\".8\"/>"
               "<path d=\"M0 %d Q100 %d 210 %d T400 %d V400H0Z\" fill=\"%.*s\" opacity=\".45\"/>"
               "<path d=\"M0 330Q140 276 260 318T400 300V400H0Z\" fill=\"%.*s\" opacity=\".6\"/>",
               70 + 2 * v, SLICE_ARG(p->pale), 280 - v / 3, 200 - v / 3, 260, 230 + v / 3,
               SLICE_ARG(p->shape), SLICE_ARG(p->shape));
}

static void draw_rings(struct buf *out, const struct palette *p, int v)
{
    buf_format(
        out,
        "<circle cx=\"200\" cy=\"196\" r=\"%d\" fill=\"%.*s\" opacity=\".45\"/>"
        "<circle cx=\"200\" cy=\"196\" r=\"%d\" fill=\"none\" stroke=\"%.*s\" stroke-width=\"3\" opacity=\".7\"/>",
        124 + v / 5, SLICE_ARG(p->shape), 150 + v / 5, SLICE_ARG(p->pale));
}

static void draw_dots(struct buf *out, const struct palette *p, int v)
{
    buf_format(out,
               "<defs><pattern id=\"d\" width=\"%d\" height=\"%d\" patternUnits=\"userSpaceOnUse\">"
               "<circle cx=\"8\" cy=\"8\" r=\"3\" fill=\"%.*s\"/></pattern></defs>"
               "<path d=\"M0 0H400V322H0Z\" fill=\"url(#d)\" opacity=\".75\"/>"
               "<path d=\"M0 322H400V400H0Z\" fill=\"%.*s\" opacity=\".55\"/>",
               26 + v / 10, 26 + v / 10, SLICE_ARG(p->pale), SLICE_ARG(p->shape));
}

static void draw_table(struct buf *out, const struct palette *p, int v)
{
    buf_format(out,
               "<path d=\"M0 296H400V400H0Z\" fill=\"%.*s\" opacity=\".6\"/>"
               "<path d=\"M%d 40h92v120h-92Z\" fill=\"%.*s\" opacity=\".6\"/>"
               "<path d=\"M%d 40v120M%d 100h92\" stroke=\"%.*s\" stroke-width=\"4\" opacity=\".6\"/>",
               SLICE_ARG(p->shape), 20 + 2 * v, SLICE_ARG(p->pale), 66 + 2 * v, 20 + 2 * v,
               SLICE_ARG(p->shape));
}

static void draw_corners(struct buf *out, const struct palette *p, int v)
{
    buf_format(out,
               "<circle cx=\"400\" cy=\"0\" r=\"%d\" fill=\"%.*s\" opacity=\".55\"/>"
               "<circle cx=\"0\" cy=\"400\" r=\"%d\" fill=\"%.*s\" opacity=\".4\"/>",
               190 + v / 2, SLICE_ARG(p->shape), 240 - v / 2, SLICE_ARG(p->pale));
}

static void draw_stripes(struct buf *out, const struct palette *p, int v)
{
    buf_format(out,
               "<defs><pattern id=\"d\" width=\"%d\" height=\"40\" patternUnits=\"userSpaceOnUse\""
               " patternTransform=\"rotate(%d)\"><path d=\"M0 0H14V40H0Z\" fill=\"%.*s\"/></pattern></defs>"
               "<path d=\"M0 0H400V400H0Z\" fill=\"url(#d)\" opacity=\".4\"/>"
               "<circle cx=\"200\" cy=\"196\" r=\"142\" fill=\"%.*s\" opacity=\".55\"/>",
               30 + v / 5, 20 + v, SLICE_ARG(p->pale), SLICE_ARG(p->shape));
}

static void (*const BACKGROUNDS[])(struct buf *out, const struct palette *palette, int v) = {
    draw_sun, draw_arch, draw_hills, draw_rings, draw_dots, draw_table, draw_corners, draw_stripes,
};

/* ---- the whole ---- */

static void sky_append(struct buf *out, const struct palette *palette, bool is_slanted)
{
    buf_format(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 400\">"
        "<defs><linearGradient id=\"s\" x1=\"0\" y1=\"0\" x2=\"%d\" y2=\"1\"><stop stop-color=\"%.*s\"/>"
        "<stop offset=\"1\" stop-color=\"%.*s\"/></linearGradient></defs><path d=\"M0 0H400V400H0Z\" fill=\"url(#s)\"/>",
        is_slanted ? 1 : 0, SLICE_ARG(palette->sky_top), SLICE_ARG(palette->sky_bottom));
}

/* A glyph's square of 200 stands on the ground at 322, or fills the canvas. */
static const char *placement(enum picture_view view, uint64_t variety)
{
    if (view == PICTURE_WHOLE)
        return "translate(50 52) scale(1.5)";
    return variety % 2 == 0 ? "translate(200 208) rotate(-12) scale(2.5) translate(-92 -112)"
                            : "translate(200 208) rotate(9) scale(2.4) translate(-112 -106)";
}

struct slice picture_draw(struct arena *arena, const struct picture *picture)
{
    const struct palette *palette = picture->palette;
    struct tints tints = tints_of(arena, picture);
    struct slice glyph = picture_glyph(picture->glyph);
    CHECK(!slice_is_absent(glyph));
    uint64_t variety = picture->variety / 3; /* its remainder picked the colour */
    struct buf out;
    buf_init(&out, arena);
    sky_append(&out, palette, variety % 2 == 1);
    BACKGROUNDS[variety / 2 % COUNT_OF(BACKGROUNDS)](&out, palette, (int)(variety / 16 % 100));
    if (picture->view == PICTURE_WHOLE)
        buf_format(&out,
                   "<ellipse cx=\"200\" cy=\"323\" rx=\"126\" ry=\"11\" fill=\"%.*s\" opacity=\".22\"/>",
                   SLICE_ARG(tints.dark));
    buf_format(
        &out,
        "<g transform=\"%s\" fill=\"%.*s\" stroke=\"%.*s\" stroke-width=\"3\" stroke-linejoin=\"round\""
        " stroke-linecap=\"round\">",
        placement(picture->view, variety), SLICE_ARG(tints.main), SLICE_ARG(tints.dark));
    glyph_append(&out, glyph, &tints);
    buf_append(&out, SLICE("</g></svg>\n"));
    CHECK(!out.overflow);
    return buf_slice(&out);
}
