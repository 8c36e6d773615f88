/* Writing a mail as RFC 5322 wants it. */
#include "jobs/mail.h"

#include "base/check.h"
#include "base/crypto.h"

#include <time.h>

#define CRLF SLICE("\r\n")
#define HEADER_LINE_BYTES 76  /* where headers are folded */
#define ENCODED_WORD_BYTES 45 /* of text in one encoded word: with its frame it stays under 75 */
#define BODY_LINE_BYTES 990   /* 998 are allowed */
#define BASE64_LINE_BYTES 57  /* of text in 76 characters */

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || (unsigned char)c == 0x7f;
}

static bool is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
    }
    return true;
}

/* How many bytes the character at the front of valid UTF-8 has; 1 for a stray byte. */
static size_t character_len(struct slice text)
{
    unsigned char first = (unsigned char)text.ptr[0];
    size_t len = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return len <= text.len ? len : text.len;
}

/* The longest beginning of at most `max` bytes that cuts no character apart. */
static size_t cut_len(struct slice text, size_t max)
{
    size_t len = 0;
    while (len < text.len) {
        size_t next = character_len(slice_skip(text, len));
        if (len + next > max)
            break;
        len += next;
    }
    return len;
}

/* Header text: control characters, line ends above all, become spaces, so that no text begins a header of its
 * own. */
static struct slice one_line(struct arena *arena, struct slice text)
{
    char *line = arena_alloc(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        line[i] = is_control(text.ptr[i]) ? ' ' : text.ptr[i];
    line[text.len] = '\0';
    return slice_trim((struct slice){line, text.len});
}

/* ---- headers ---- */

/* A header that is being written, with the length of its current line. */
struct header {
    struct buf *out;
    size_t column;
};

static void header_begin(struct header *header, struct buf *out, const char *name)
{
    *header = (struct header){.out = out, .column = strlen(name) + 1};
    buf_append(out, slice_from(name));
    buf_append_char(out, ':');
}

/* Adds a word behind a space, on a new line when this one would get too long. */
static void header_word(struct header *header, struct slice word)
{
    if (header->column + 1 + word.len > HEADER_LINE_BYTES) {
        buf_append(header->out, CRLF);
        header->column = 0;
    }
    buf_append_char(header->out, ' ');
    buf_append(header->out, word);
    header->column += 1 + word.len;
}

static void header_end(struct header *header)
{
    buf_append(header->out, CRLF);
}

/* Text as encoded words; readers join neighbours without the space between them. */
static void header_encoded(struct header *header, struct slice text)
{
    struct arena *arena = header->out->arena;
    while (text.len > 0) {
        size_t len = cut_len(text, ENCODED_WORD_BYTES);
        struct slice word = base64_encode(arena, (struct slice){text.ptr, len});
        header_word(header, arena_format(arena, "=?UTF-8?B?%.*s?=", SLICE_ARG(word)));
        text = slice_skip(text, len);
    }
}

/* Whether plain text would be taken for an encoded word, or is too long to stay as it is. */
static bool needs_encoding(struct slice text)
{
    if (!is_ascii(text))
        return true;
    struct slice rest = text;
    struct slice word;
    while (slice_split(&rest, ' ', &word)) {
        if (word.len > HEADER_LINE_BYTES - 20 || (word.len >= 2 && word.ptr[0] == '=' && word.ptr[1] == '?'))
            return true;
    }
    return false;
}

/* Free text, such as a subject. */
static void header_text(struct header *header, struct slice text)
{
    struct slice line = one_line(header->out->arena, text);
    if (needs_encoding(line)) {
        header_encoded(header, line);
        return;
    }
    struct slice word;
    while (slice_split(&line, ' ', &word)) {
        if (word.len > 0)
            header_word(header, word);
    }
}

/* A name of ASCII as a quoted string, so that no character of it means anything. */
static struct slice quoted(struct arena *arena, struct slice name)
{
    struct buf text;
    buf_init(&text, arena);
    buf_append_char(&text, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\')
            buf_append_char(&text, '\\');
        buf_append_char(&text, name.ptr[i]);
    }
    buf_append_char(&text, '"');
    return buf_slice(&text);
}

static void header_mailbox(struct buf *out, const char *header_name, const struct mailbox *mailbox)
{
    struct header header;
    CHECK(mail_address_is_sane(mailbox->address)); /* whoever makes a mail has asked */
    header_begin(&header, out, header_name);
    struct slice name = one_line(out->arena, mailbox->name);
    if (name.len == 0) {
        header_word(&header, mailbox->address);
        header_end(&header);
        return;
    }
    if (is_ascii(name) && name.len <= HEADER_LINE_BYTES - 20)
        header_word(&header, quoted(out->arena, name));
    else
        header_encoded(&header, name);
    header_word(&header, arena_format(out->arena, "<%.*s>", SLICE_ARG(mailbox->address)));
    header_end(&header);
}

/* "Sat, 31 Jan 2026 12:34:56 +0000", whatever the locale. */
static struct slice date_text(struct arena *arena, int64_t time_ms)
{
    static const char *const DAYS[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm at;
    CHECK(gmtime_r(&seconds, &at) != NULL);
    return arena_format(arena, "%s, %d %s %d %02d:%02d:%02d +0000", DAYS[at.tm_wday], at.tm_mday,
                        MONTHS[at.tm_mon], at.tm_year + 1900, at.tm_hour, at.tm_min, at.tm_sec);
}

static void header_line(struct buf *out, const char *name, struct slice value)
{
    struct header header;
    header_begin(&header, out, name);
    header_word(&header, value);
    header_end(&header);
}

/* ---- the body ---- */

/* One line without its end: control characters but tabs become spaces, and it is broken where mail must break
 * it. */
static void body_line(struct buf *out, struct slice line)
{
    do {
        size_t len = cut_len(line, BODY_LINE_BYTES);
        for (size_t i = 0; i < len; i++) {
            char c = line.ptr[i];
            buf_append_char(out, is_control(c) && c != '\t' ? ' ' : c);
        }
        buf_append(out, CRLF);
        line = slice_skip(line, len);
    } while (line.len > 0);
}

static void body_write(struct buf *out, struct slice body)
{
    struct slice line;
    if (body.len > 0 && body.ptr[body.len - 1] == '\n')
        body.len--;
    while (slice_split(&body, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        body_line(out, line);
    }
}

/* In lines of 76 characters. */
static void body_encode(struct buf *out, struct slice body)
{
    struct buf lines;
    buf_init(&lines, out->arena);
    body_write(&lines, body);
    for (struct slice rest = buf_slice(&lines); rest.len > 0; rest = slice_skip(rest, BASE64_LINE_BYTES)) {
        size_t len = rest.len < BASE64_LINE_BYTES ? rest.len : BASE64_LINE_BYTES;
        buf_append(out, base64_encode(out->arena, (struct slice){rest.ptr, len}));
        buf_append(out, CRLF);
    }
    out->overflow = out->overflow || lines.overflow;
}

/* ---- all of it ---- */

bool mail_address_is_sane(struct slice address)
{
    size_t at_signs = 0;
    for (size_t i = 0; i < address.len; i++) {
        char c = address.ptr[i];
        if (c == '@')
            at_signs++;
        else if (is_control(c) || strchr(" <>,;:\"()[]\\", c) != NULL)
            return false;
    }
    return at_signs == 1 && address.ptr[0] != '@' && address.ptr[address.len - 1] != '@';
}

static struct slice domain_of(struct slice address)
{
    struct slice local;
    (void)slice_split(&address, '@', &local);
    return address;
}

void mail_render(struct buf *out, const struct mail *mail, enum mail_transport transport)
{
    bool is_plain = is_ascii(mail->body), is_encoded = !is_plain && transport == MAIL_7BIT;
    struct arena *arena = out->arena;
    struct header subject;
    header_mailbox(out, "From", &mail->from);
    header_mailbox(out, "To", &mail->to);
    header_begin(&subject, out, "Subject");
    header_text(&subject, mail->subject);
    header_end(&subject);
    header_line(out, "Date", date_text(arena, mail->date_ms));
    struct slice domain = domain_of(mail->from.address);
    header_line(out, "Message-Id",
                arena_format(arena, "<%.*s@%.*s>", SLICE_ARG(mail->key), SLICE_ARG(domain)));
    header_line(out, "Auto-Submitted", SLICE("auto-generated")); /* RFC 3834: no holiday notice answers */
    header_line(out, "MIME-Version", SLICE("1.0"));
    header_line(out, "Content-Type", SLICE("text/plain; charset=utf-8"));
    header_line(out, "Content-Transfer-Encoding",
                is_plain     ? SLICE("7bit")
                : is_encoded ? SLICE("base64")
                             : SLICE("8bit"));
    buf_append(out, CRLF);
    if (is_encoded)
        body_encode(out, mail->body);
    else
        body_write(out, mail->body);
}
