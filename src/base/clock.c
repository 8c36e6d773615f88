/* Reading the clocks, waiting by them, and RFC 3339 times with civil-date arithmetic of our own: gmtime and
 * timegm are slow, take locks in some libraries and depend on the environment. */
#include "base/clock.h"

#include "base/check.h"

#include <errno.h>
#include <time.h>

#define MS_PER_DAY INT64_C(86400000)
/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z */
#define TIME_MS_MIN INT64_C(-62167219200000)
#define TIME_MS_MAX INT64_C(253402300799999)

int64_t clock_now_ms(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_us(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- waiting ---- */

void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(cond, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_us)
{
    const struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    int code = pthread_cond_timedwait(cond, mutex, &until);
    CHECK(code == 0 || code == ETIMEDOUT);
    return code;
}

bool clock_pause(pthread_cond_t *cond, pthread_mutex_t *mutex, const bool *is_ending, int64_t duration_us)
{
    int64_t until_us = clock_monotonic_us() + duration_us;
    pthread_mutex_lock(mutex);
    while (!*is_ending && clock_cond_wait(cond, mutex, until_us) == 0)
        ;
    bool goes_on = !*is_ending;
    pthread_mutex_unlock(mutex);
    return goes_on;
}

/* ---- RFC 3339 ---- */

struct civil_date {
    int year;
    int month; /* 1..12 */
    int day;   /* 1..31 */
};

/* Days between 0000-03-01 and 1970-01-01. Years that begin in March have the leap day at their end, which
 * makes the day of the year a linear function of the month: (153 * month + 2) / 5. */
#define DAYS_BEFORE_1970 719468
#define DAYS_PER_400_YEARS 146097

/* Days since 1970-01-01 of a date from the year 0 on. */
static int64_t days_from_civil(struct civil_date date)
{
    int64_t shifted =
        date.year - (date.month <= 2 ? 1 : 0) + 400; /* 400 years up, to stay positive in the year 0 */
    int64_t era = shifted / 400;
    int64_t year_of_era = shifted % 400;
    int64_t month_from_march = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (era - 1) * DAYS_PER_400_YEARS + day_of_era - DAYS_BEFORE_1970;
}

static struct civil_date civil_from_days(int64_t days)
{
    int64_t shifted = days + DAYS_BEFORE_1970 + DAYS_PER_400_YEARS;
    int64_t era = shifted / DAYS_PER_400_YEARS;
    int64_t day_of_era = shifted % DAYS_PER_400_YEARS;
    /* Take away the leap days that have passed (every 4 years, not every 100, but the last of the era), then
     * divide. */
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    int64_t year = (era - 1) * 400 + year_of_era + (month <= 2 ? 1 : 0);
    return (struct civil_date){(int)year, (int)month, (int)day};
}

static int days_in_month(int year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return DAYS[month - 1] + (month == 2 && leap ? 1 : 0);
}

static void put_digits(char *text, int64_t value, size_t count)
{
    for (size_t i = count; i-- > 0; value /= 10)
        text[i] = (char)('0' + value % 10);
}

void clock_format_rfc3339(int64_t time_ms, char text[CLOCK_RFC3339_LEN])
{
    if (time_ms < TIME_MS_MIN)
        time_ms = TIME_MS_MIN;
    if (time_ms > TIME_MS_MAX)
        time_ms = TIME_MS_MAX;
    int64_t days = time_ms / MS_PER_DAY;
    int64_t ms = time_ms % MS_PER_DAY;
    if (ms < 0) { /* before 1970 division rounds the wrong way */
        ms += MS_PER_DAY;
        days--;
    }
    struct civil_date date = civil_from_days(days);
    memcpy(text, "0000-00-00T00:00:00.000Z", CLOCK_RFC3339_LEN);
    put_digits(text, date.year, 4);
    put_digits(text + 5, date.month, 2);
    put_digits(text + 8, date.day, 2);
    put_digits(text + 11, ms / 3600000, 2);
    put_digits(text + 14, ms / 60000 % 60, 2);
    put_digits(text + 17, ms / 1000 % 60, 2);
    put_digits(text + 20, ms % 1000, 3);
}

/* Takes `count` digits off the front of `rest`. */
static bool take_digits(struct slice *rest, size_t count, int *value)
{
    if (rest->len < count)
        return false;
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (rest->ptr[i] < '0' || rest->ptr[i] > '9')
            return false;
        *value = *value * 10 + (rest->ptr[i] - '0');
    }
    *rest = slice_skip(*rest, count);
    return true;
}

/* Takes one character, in the case given or, for letters, in lower case. */
static bool take_char(struct slice *rest, char c)
{
    if (rest->len == 0 || (rest->ptr[0] != c && !(c >= 'A' && c <= 'Z' && rest->ptr[0] == c - 'A' + 'a')))
        return false;
    *rest = slice_skip(*rest, 1);
    return true;
}

/* Takes ".123456789" and keeps the milliseconds; nothing is there when there is no point. */
static bool take_fraction(struct slice *rest, int *ms)
{
    *ms = 0;
    if (!take_char(rest, '.'))
        return true;
    int scale = 100;
    size_t count = 0;
    while (count < rest->len && rest->ptr[count] >= '0' && rest->ptr[count] <= '9') {
        *ms += (rest->ptr[count] - '0') * scale;
        scale /= 10;
        count++;
    }
    *rest = slice_skip(*rest, count);
    return count >= 1 && count <= 9;
}

/* Takes "Z" or "+05:30". */
static bool take_offset(struct slice *rest, int *minutes)
{
    *minutes = 0;
    if (take_char(rest, 'Z'))
        return true;
    bool west = take_char(rest, '-');
    if (!west && !take_char(rest, '+'))
        return false;
    int hour;
    int minute;
    if (!take_digits(rest, 2, &hour) || !take_char(rest, ':') || !take_digits(rest, 2, &minute))
        return false;
    *minutes = (hour * 60 + minute) * (west ? -1 : 1);
    return hour <= 23 && minute <= 59;
}

bool clock_parse_rfc3339(struct slice text, int64_t *time_ms)
{
    struct civil_date date;
    int hour;
    int minute;
    int second;
    int ms;
    int offset;
    if (!take_digits(&text, 4, &date.year) || !take_char(&text, '-') || !take_digits(&text, 2, &date.month) ||
        !take_char(&text, '-') || !take_digits(&text, 2, &date.day) || !take_char(&text, 'T') ||
        !take_digits(&text, 2, &hour) || !take_char(&text, ':') || !take_digits(&text, 2, &minute) ||
        !take_char(&text, ':') || !take_digits(&text, 2, &second) || !take_fraction(&text, &ms) ||
        !take_offset(&text, &offset) || text.len != 0)
        return false;
    if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > days_in_month(date.year, date.month))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    int64_t minutes = days_from_civil(date) * 1440 + hour * 60 + minute - offset;
    if (second == 60 &&
        (minutes % 1440 + 1440) % 1440 != 1439) /* leap seconds are put in at midnight UTC only */
        return false;
    int64_t result = (minutes * 60 + second) * 1000 + ms;
    if (result < TIME_MS_MIN || result > TIME_MS_MAX)
        return false;
    *time_ms = result;
    return true;
}
