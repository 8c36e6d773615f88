/* Time. Wall-clock times are milliseconds since 1970-01-01 UTC (`_ms`); durations are measured on the
 * monotonic clock. */
#pragma once

#include "base/slice.h"

#include <pthread.h>
#include <stdint.h>

#define CLOCK_RFC3339_LEN 24 /* 2026-01-31T12:34:56.789Z */

int64_t clock_now_ms(void);
int64_t clock_monotonic_us(void);

/* ---- waiting: conditions whose time limits are on the monotonic clock, so that nobody who sets the
 * machine's date makes them late ---- */

/* To be destroyed as usual. */
void clock_cond_init(pthread_cond_t *cond);
/* pthread_cond_timedwait on such a condition: 0 when it was signalled (or woke without reason: look again),
 * or ETIMEDOUT when clock_monotonic_us() has reached until_us. Any other outcome is the programmer's error.
 */
int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_us);
/* A thread's rest between two rounds: until `duration_us` has passed, or somebody who set *is_ending under
 * the mutex signals. The mutex is free before and after. False when it is to end. */
bool clock_pause(pthread_cond_t *cond, pthread_mutex_t *mutex, const bool *is_ending, int64_t duration_us);

/* ---- RFC 3339 ---- */

/* RFC 3339 UTC with milliseconds, 24 bytes, no NUL. Times outside the years 0000..9999 are shown as the
 * nearest one inside: a stored value must not be able to stop the process. */
void clock_format_rfc3339(int64_t time_ms, char text[CLOCK_RFC3339_LEN]);
/* RFC 3339 with any offset and up to nine fractional digits (cut to milliseconds). A leap second (23:59:60
 * UTC) is read as the second that follows it. False when it is not a time, or not in the years 0000..9999 of
 * UTC (`*time_ms` untouched). */
bool clock_parse_rfc3339(struct slice text, int64_t *time_ms);
