/* The strict reading of a request's head. libmicrohttpd is lenient where two parsers could disagree on where
 * a message ends, which is how requests are smuggled past a proxy: all of that is refused here, before the
 * body. */
#include "http/headers.h"
#include "http/server_private.h"

static void complain(struct request_head *head, const char *complaint)
{
    if (head->complaint == NULL)
        head->complaint = complaint;
}

static void take_content_length(struct request_head *head, struct slice value)
{
    long long length;
    head->lengths++;
    /* slice_to_int64 takes a minus sign, which no length has. */
    if (value.len == 0 || value.ptr[0] < '0' || value.ptr[0] > '9' || !slice_to_int64(value, &length))
        complain(head, "Content-Length is not a number");
    else
        head->content_length = length;
}

static bool host_is_valid(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (strchr(" \t,/@?#\\\"<>", host.ptr[i]) != NULL)
            return false;
    }
    return true;
}

/* The fields that say how the message is framed, and where it goes. True when `name` was one of them. */
static bool take_framing(struct request_head *head, struct slice name, struct slice value)
{
    switch (name.len) {
    case 4:
        if (!slice_equals_ignore_case(name, SLICE("host")))
            return false;
        head->hosts++;
        if (!host_is_valid(value))
            complain(head, "Host is malformed");
        return false; /* the gateway wants it as well */
    case 6:
        if (!slice_equals_ignore_case(name, SLICE("expect")))
            return false;
        if (!slice_equals_ignore_case(value, SLICE("100-continue")))
            complain(head, "Expect can only be 100-continue");
        return true;
    case 14:
        if (!slice_equals_ignore_case(name, SLICE("content-length")))
            return false;
        take_content_length(head, value);
        return true;
    case 17:
        if (!slice_equals_ignore_case(name, SLICE("transfer-encoding")))
            return false;
        head->encodings++;
        head->is_chunked = true;
        if (!slice_equals_ignore_case(value, SLICE("chunked")))
            complain(head, "Transfer-Encoding can only be chunked");
        return true;
    default:
        return false;
    }
}

#define LAYOUT_OF_VERSION "0.9.75"

static const char HIDDEN[] = "The head holds a malformed line";

/* The next piece must stand here; it ends `len` bytes on, and then come `gap` bytes until the one behind it.
 */
static void pass_piece(struct request_head *head, const char *piece, size_t len, size_t gap)
{
    if (head->at == NULL)
        return;
    if (piece != head->at)
        complain(head, HIDDEN);
    head->at = piece + len + gap;
}

static void pass_field(struct request_head *head, struct slice name, struct slice value)
{
    if (head->at == NULL)
        return;
    pass_piece(head, name.ptr, name.len, 1);
    if (value.ptr < head->at || (size_t)(value.ptr - head->at) > HEADER_BYTES_MAX)
        complain(head, HIDDEN); /* it was copied elsewhere, as folded lines are */
    head->at = value.ptr;       /* only white space can lie before it: that is what libmicrohttpd skips */
    pass_piece(head, value.ptr, value.len, 2);
}

static enum MHD_Result take_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                  const char *value, size_t value_len)
{
    (void)kind;
    struct request_head *head = cls;
    head->fields++;
    struct slice name_text = {name, name_len};
    struct slice value_text = slice_trim((struct slice){value ? value : "", value ? value_len : 0});
    pass_field(head, name_text, (struct slice){value, value_len});
    if (!header_name_is_valid(name_text)) /* a space before the colon, for one */
        complain(head, "A header's name holds a forbidden character");
    else if (!header_value_is_valid(value_text))
        complain(head, "A header's value holds a control character");
    else if (!take_framing(head, name_text, value_text) &&
             !exchange_header(head->exchange, name_text, value_text))
        complain(head, "A header stands twice that may stand once");
    return MHD_YES;
}

/* Fields and what lies before and behind them. */
static void take_fields(struct request_head *head, struct MHD_Connection *mhd, const char *url,
                        const char *method, const char *version)
{
    bool is_layout_known = strcmp(MHD_get_version(), LAYOUT_OF_VERSION) == 0;
    head->at = is_layout_known ? method : NULL;
    pass_piece(head, method, strlen(method), 1);
    pass_piece(head, url, head->exchange->target.len, 1);
    pass_piece(head, version, strlen(version), 2);
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, take_field, head);
    if (!is_layout_known)
        return;
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (size == NULL || head->at + 2 != method + size->header_size)
        complain(head, HIDDEN);
}

void request_head_read(struct request_head *head, struct MHD_Connection *mhd, const char *url,
                       const char *method, const char *version)
{
    head->exchange->method = http_method_parse(slice_from(method));
    head->content_length = -1;
    take_fields(head, mhd, url, method, version);
    bool is_1_1 = strcmp(version, "HTTP/1.1") == 0;
    if (!is_1_1 && strcmp(version, "HTTP/1.0") != 0)
        complain(head, "Only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (head->hosts > 1 || (is_1_1 && head->hosts == 0))
        complain(head, "Host must stand once");
    if (head->lengths > 1)
        complain(head, "Content-Length stands twice");
    if (head->encodings > 1)
        complain(head, "Transfer-Encoding stands twice");
    if (head->lengths > 0 && head->encodings > 0)
        complain(head, "Content-Length and Transfer-Encoding exclude each other");
    if (head->encodings > 0 && !is_1_1)
        complain(head, "HTTP/1.0 has no Transfer-Encoding");
}
