/* Plans, as keys need them. Both functions run inside the caller's transaction. */
#pragma once

#include "base/arena.h"
#include "data/db.h"

/* The plan of a key for which none was named: the one called Standard, made when there is none. DB_DONE or
 * DB_ERROR. */
enum db_result plan_standard(struct db *db, int64_t now_ms, struct uuid *id);
/* DB_ROW, DB_DONE (no such plan) or DB_ERROR. */
enum db_result plan_exists(struct db *db, struct arena *arena, struct uuid id);
