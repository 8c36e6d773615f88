/* traceparent and X-Amzn-Trace-Id as anybody may send them: what is taken has a trace and a parent that are
 * not zero, and comes out as it went in. */
#include "fuzz.h"

#include "base/check.h"
#include "base/crypto.h"
#include "base/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace trace = {.is_sampled = false};
    struct slice text = {(const char *)data, size};
    static const struct trace untouched;
    bool is_decided;
    if (traceparent_parse(text, &trace)) {
        char out[TRACEPARENT_LEN + 1];
        CHECK(trace.has_parent);
        hex_encode(trace.id, TRACE_ID_LEN, trace.text);
        trace.is_sampled = false; /* the parent's own id is passed on */
        CHECK(traceparent_format(&trace, NULL, out));
        CHECK(memcmp(out + 2, text.ptr + 2, 51) == 0);
    } else {
        CHECK(memcmp(&trace, &untouched, sizeof(trace)) == 0);
    }
    memset(&trace, 0, sizeof(trace));
    if (amazon_trace_parse(text, &trace, &is_decided))
        CHECK(!trace.is_sampled || is_decided);
    return 0;
}
