/* Time. Wall-clock times are milliseconds since 1970-01-01 UTC (`_ms`); durations are measured on the
 * monotonic clock. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

#define CLOCK_RFC3339_LEN 24 /* 2026-01-31T12:34:56.789Z */

int64_t clock_now_ms(void);
int64_t clock_monotonic_us(void);
/* RFC 3339 UTC with milliseconds, 24 bytes, no NUL. Times outside the years 0000..9999 are shown as the
 * nearest one inside: a stored value must not be able to stop the process. */
void clock_format_rfc3339(int64_t time_ms, char text[CLOCK_RFC3339_LEN]);
/* RFC 3339 with any offset and up to nine fractional digits (cut to milliseconds). A leap second (23:59:60
 * UTC) is read as the second that follows it. False when it is not a time, or not in the years 0000..9999 of
 * UTC (`*time_ms` untouched). */
bool clock_parse_rfc3339(struct slice text, int64_t *time_ms);
