/* The pool of requests in flight. Each I/O thread keeps a few free slots to itself, so that a request takes
 * no lock for its arena; the rest are shared. */
#include "http/server_private.h"

#include <stdlib.h>

#define SLOTS_KEPT_BY_THREAD 8
/* What the arena of such a slot may keep: enough for a long list. Giving pages back and being given them anew
 * cost half of a list's time. The shared slots, of which there may be many, keep ARENA_KEEP_BYTES. */
#define BYTES_KEPT_BY_THREAD ((size_t)1 << 20)

static _Thread_local struct {
    uint64_t serial; /* of the server that the slots belong to */
    unsigned count;
    struct slot *first;
} kept;

/* A new slot, or a shared free one. With the lock held. */
static struct slot *slot_take_shared(struct server *server)
{
    struct slot *slot = server->slots_free;
    if (slot != NULL) {
        server->slots_free = slot->next;
        return slot;
    }
    if (server->slots_made == (unsigned)server->options.requests_max)
        return NULL;
    slot = calloc(1, sizeof(*slot));
    if (slot == NULL)
        return NULL;
    if (!arena_init(&slot->arena, ARENA_REQUEST_BYTES)) {
        free(slot);
        return NULL;
    }
    slot->server = server;
    server->slots[server->slots_made++] = slot;
    return slot;
}

struct slot *slot_acquire(struct server *server)
{
    struct slot *slot = NULL;
    if (kept.serial == server->serial && kept.first != NULL) {
        slot = kept.first;
        kept.first = slot->next;
        kept.count--;
    } else {
        pthread_mutex_lock(&server->slots_lock);
        slot = slot_take_shared(server);
        pthread_mutex_unlock(&server->slots_lock);
        if (slot == NULL)
            return NULL;
    }
    atomic_fetch_add_explicit(&server->slots_held, 1, memory_order_relaxed);
    slot->next = NULL;
    slot->exchange = NULL;
    slot->drained = 0;
    slot->is_too_large = false;
    slot->must_close = false;
    slot->counts_as_suspended = false;
    slot->counts_as_receiving = false;
    atomic_store_explicit(&slot->owners, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->state, SLOT_RECEIVING, memory_order_relaxed);
    return slot;
}

void slot_drop(struct slot *slot)
{
    struct server *server = slot->server;
    if (atomic_fetch_sub_explicit(&slot->owners, 1, memory_order_acq_rel) != 1)
        return;
    slot->exchange = NULL;
    if (kept.serial != server->serial && kept.count == 0)
        kept.serial = server->serial;
    /* When slots are scarce none may lie idle with a thread. */
    bool is_roomy = server->options.requests_max >= REQUESTS_IN_FLIGHT_MAX;
    bool is_kept = is_roomy && kept.serial == server->serial && kept.count < SLOTS_KEPT_BY_THREAD;
    if (is_kept && slot->arena.high <= BYTES_KEPT_BY_THREAD)
        arena_rewind(&slot->arena, 0);
    else
        arena_reset(&slot->arena);
    if (is_kept) {
        slot->next = kept.first;
        kept.first = slot;
        kept.count++;
    } else {
        pthread_mutex_lock(&server->slots_lock);
        slot->next = server->slots_free;
        server->slots_free = slot;
        pthread_mutex_unlock(&server->slots_lock);
    }
    /* The very last touch: server_stop frees everything once none is held. */
    atomic_fetch_sub_explicit(&server->slots_held, 1, memory_order_release);
}

void slots_release(struct server *server)
{
    if (kept.serial == server->serial) {
        kept.serial = 0;
        kept.count = 0;
        kept.first = NULL;
    }
    for (unsigned i = 0; i < server->slots_made; i++) {
        arena_release(&server->slots[i]->arena);
        free(server->slots[i]);
    }
    free(server->slots);
}
