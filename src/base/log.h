/* The log: one JSON object a line on standard error (messages) or standard output (requests).
 * Never in it: a token, password, card number, e-mail address or cart id. */
#pragma once

#include "base/ids.h"

enum log_level {
    LOG_ERROR, /* something failed that must be looked at */
    LOG_WARN,
    LOG_REQUEST, /* one line a request (the default level shows up to here) */
    LOG_INFO,    /* start, stop, migrations, jobs */
    LOG_DEBUG,
    LOG_OFF = -1
};

/* Before any thread starts. */
void log_start(enum log_level level);
bool log_enabled(enum log_level level);
/* The level named by SOUK_LOG: off, error, warn, request, info, debug. False when it is none. */
bool log_level_parse(struct slice name, enum log_level *level);
const char *log_level_name(enum log_level level);

/* One line built on the stack, at most LOG_LINE_MAX bytes. A string that does not fit is cut and ends in
 * "...", a field that does not fit is left out, bytes that are not UTF-8 become U+FFFD: it is valid JSON
 * whatever is logged. */
#define LOG_LINE_MAX 4096
struct log_line {
    enum log_level level;
    size_t len;
    char text[LOG_LINE_MAX];
};

/* Starts a line, which names the trace that the thread works on (base/trace.h); when the level is not shown,
 * this and all that follows costs nothing. Keys are literals. */
void log_begin(struct log_line *line, enum log_level level, const char *message);
void log_string(struct log_line *line, const char *key, struct slice value);
void log_int(struct log_line *line, const char *key, int64_t value);
/* Ends the object and writes it with one write(2), so that lines of several threads or processes do not mix.
 * What cannot be written is lost: a full disk fails no request. (A pipe that nobody reads does block, as it
 * would block any program.) */
void log_end(struct log_line *line);

/* A line with only a message. */
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
