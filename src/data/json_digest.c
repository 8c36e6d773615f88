/* The digest of a JSON text: one pass, no memory but the stack. */
#include "data/json_digest.h"

#include "base/crypto.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64
#define NUMBER_BYTES_MAX 400 /* the largest double, written out by a server that knows no exponents */
#define STRING_PIECE_BYTES 256

struct reader {
    const char *at;
    const char *end;
    int depth;
    bool is_wrong;
};

static uint64_t mix(uint64_t seed, uint64_t value)
{
    const uint64_t pair[2] = {seed, value};
    return hash64((struct slice){(const char *)pair, sizeof(pair)});
}

static uint64_t wrong(struct reader *reader)
{
    reader->is_wrong = true;
    return 0;
}

static void skip_spaces(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL && *reader->at != '\0')
        reader->at++;
}

/* Takes the byte when it comes next. */
static bool take(struct reader *reader, char byte)
{
    bool is_next = reader->at < reader->end && *reader->at == byte;
    reader->at += is_next;
    return is_next;
}

/* ---- strings ---- */

/* The text in pieces of a fixed size, whatever it was escaped like. */
struct pieces {
    char bytes[STRING_PIECE_BYTES];
    size_t len;
    uint64_t digest;
};

static void piece_add(struct pieces *pieces, unsigned byte)
{
    if (pieces->len == sizeof(pieces->bytes)) {
        pieces->digest = mix(pieces->digest, hash64((struct slice){pieces->bytes, pieces->len}));
        pieces->len = 0;
    }
    pieces->bytes[pieces->len++] = (char)byte;
}

static void piece_add_code_point(struct pieces *pieces, unsigned code)
{
    if (code < 0x80) {
        piece_add(pieces, code);
        return;
    }
    if (code >= 0x10000) {
        piece_add(pieces, 0xF0 | code >> 18);
        piece_add(pieces, 0x80 | (code >> 12 & 0x3F));
    } else if (code >= 0x800) {
        piece_add(pieces, 0xE0 | code >> 12);
    } else {
        piece_add(pieces, 0xC0 | code >> 6);
        piece_add(pieces, 0x80 | (code & 0x3F));
        return;
    }
    piece_add(pieces, 0x80 | (code >> 6 & 0x3F));
    piece_add(pieces, 0x80 | (code & 0x3F));
}

static unsigned read_hex4(struct reader *reader)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = reader->at < reader->end ? hex_value(*reader->at++) : -1;
        if (digit < 0)
            wrong(reader);
        else
            value = value << 4 | (unsigned)digit;
    }
    return value;
}

/* Behind "\u". */
static void read_unicode(struct reader *reader, struct pieces *pieces)
{
    unsigned code = read_hex4(reader);
    if (code >= 0xD800 && code < 0xDC00 && take(reader, '\\') && take(reader, 'u'))
        code = 0x10000 + ((code - 0xD800) << 10) + ((read_hex4(reader) - 0xDC00) & 0x3FF);
    piece_add_code_point(pieces, code);
}

/* Behind the backslash. */
static void read_escape(struct reader *reader, struct pieces *pieces)
{
    static const char NAMES[] = "\"\\/bfnrt";
    static const char VALUES[] = "\"\\/\b\f\n\r\t";
    char c = reader->at < reader->end ? *reader->at++ : '\0';
    const char *name = c != '\0' ? strchr(NAMES, c) : NULL;
    if (c == 'u')
        read_unicode(reader, pieces);
    else if (name != NULL)
        piece_add(pieces, (unsigned char)VALUES[name - NAMES]);
    else
        wrong(reader);
}

static uint64_t read_string(struct reader *reader)
{
    struct pieces pieces = {.digest = 's'};
    while (!reader->is_wrong && reader->at < reader->end) {
        char c = *reader->at++;
        if (c == '"')
            return mix(pieces.digest, hash64((struct slice){pieces.bytes, pieces.len}));
        if (c == '\\')
            read_escape(reader, &pieces);
        else
            piece_add(&pieces, (unsigned char)c);
    }
    return wrong(reader);
}

/* ---- numbers and words ---- */

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

static uint64_t read_plain(struct reader *reader)
{
    char text[NUMBER_BYTES_MAX + 1];
    const char *begin = reader->at;
    while (reader->at < reader->end && is_plain(*reader->at))
        reader->at++;
    size_t len = (size_t)(reader->at - begin);
    if (len == 0 || len > NUMBER_BYTES_MAX)
        return wrong(reader);
    if (begin[0] >= 'a')
        return mix('w', hash64((struct slice){begin, len}));
    memcpy(text, begin, len);
    text[len] = '\0';
    char *end;
    double number = strtod(text, &end) + 0.0; /* -0 becomes 0 */
    if (end != text + len)
        return wrong(reader);
    return mix('n', hash64((struct slice){(const char *)&number, sizeof(number)}));
}

/* ---- arrays and objects ---- */

static uint64_t read_value(struct reader *reader);

static uint64_t read_array(struct reader *reader)
{
    uint64_t digest = 'a';
    skip_spaces(reader);
    if (take(reader, ']'))
        return digest;
    while (!reader->is_wrong) {
        digest = mix(digest, read_value(reader));
        if (take(reader, ']'))
            return digest;
        if (!take(reader, ','))
            return wrong(reader);
    }
    return 0;
}

static uint64_t read_object(struct reader *reader)
{
    uint64_t sum = 'o';
    skip_spaces(reader);
    if (take(reader, '}'))
        return sum;
    while (!reader->is_wrong) {
        skip_spaces(reader);
        uint64_t name = take(reader, '"') ? read_string(reader) : wrong(reader);
        skip_spaces(reader);
        if (!take(reader, ':'))
            return wrong(reader);
        sum += mix(name, read_value(reader));
        if (take(reader, '}'))
            return mix('o', sum);
        if (!take(reader, ','))
            return wrong(reader);
    }
    return 0;
}

/* With the spaces on both sides. */
static uint64_t read_value(struct reader *reader)
{
    uint64_t digest;
    if (++reader->depth > DEPTH_MAX)
        return wrong(reader);
    skip_spaces(reader);
    if (take(reader, '"'))
        digest = read_string(reader);
    else if (take(reader, '['))
        digest = read_array(reader);
    else if (take(reader, '{'))
        digest = read_object(reader);
    else
        digest = read_plain(reader);
    skip_spaces(reader);
    reader->depth--;
    return digest;
}

uint64_t json_digest(struct slice json)
{
    struct reader reader = {.at = json.ptr, .end = json.ptr + json.len};
    uint64_t digest = read_value(&reader);
    return reader.is_wrong || reader.at != reader.end ? hash64(json) : digest;
}
