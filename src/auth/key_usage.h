/* How much each key was used this month. Counted in memory and told to the database every
 * KEY_USAGE_FLUSH_MS by a thread of its own, so that no request waits for it or writes; a process that is
 * killed loses what it counted since, one that stops loses nothing.
 *
 * A quota is held against what the database last said (all servers' counts) and what was counted here since.
 * Several servers together can overshoot it by what the others let through between two flushes. Months are
 * calendar months of UTC. Thread-safe. */
#pragma once

#include "base/ids.h"
#include "data/db.h"

#define KEY_USAGE_FLUSH_MS 1000

struct key_usage;

/* `store` outlives it. NULL when the system refuses the thread. */
struct key_usage *key_usage_start(struct store *store);
/* The same without the thread: whoever counts tells the database by key_usage_flush, on its own connection,
 * and key_usage_stop tells it nothing. What was told is no longer known afterwards: a quota is asked for
 * anew. */
struct key_usage *key_usage_new(void);
bool key_usage_has_pending(struct key_usage *usage);
void key_usage_flush(struct key_usage *usage, struct db *db);
/* After the last request: tells the database the rest, and ends the thread. Before store_close. */
void key_usage_stop(struct key_usage *usage);

enum key_usage_answer {
    KEY_USAGE_COUNTED,
    KEY_USAGE_EXCEEDED, /* the quota is used up; nothing was counted */
    KEY_USAGE_UNKNOWN   /* this server has not heard of the key's month yet: key_usage_learn, then again */
};

struct key_usage_verdict {
    int64_t remaining; /* requests; of a quota */
    int64_t window_s;  /* length of the month */
    int64_t reset_s;   /* until it ends, at least 1 */
};

/* One request of the key. A `quota` of 0 is none, and then nothing needs to be known. Never waits. */
enum key_usage_answer key_usage_take(struct key_usage *usage, struct uuid key_id, int64_t quota,
                                     int64_t now_ms, struct key_usage_verdict *verdict);
/* Whether key_usage_take can answer for a quota. */
bool key_usage_is_known(struct key_usage *usage, struct uuid key_id, int64_t now_ms);
/* Reads what the database knows. DB_DONE or DB_ERROR. */
enum db_result key_usage_learn(struct key_usage *usage, struct db *db, struct uuid key_id, int64_t now_ms);
/* What was counted here and is not in the database yet. */
int64_t key_usage_pending(struct key_usage *usage, struct uuid key_id, int64_t now_ms);

/* A month: 202611, when it begins and when the next one does. */
struct usage_month {
    int64_t number;
    int64_t begins_ms;
    int64_t ends_ms;
};
struct usage_month usage_month_of(int64_t now_ms);
