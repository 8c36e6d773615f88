/* What is remembered of carts: for whom, how long, and in which form it lies in the cache. */
#include "shop/cart_memory.h"

#include "fixture.h"

#include "data/cache_link.h"
#include "data/elsewhere.h"

/* ---- a link to no other server, so that what is somebody's own may be kept ---- */

static struct cache_link_events events;

static void listen_to_none(void *arg, const struct cache_link_events *given)
{
    (void)arg;
    events = *given;
    events.on_state(events.arg, true);
}

static void unlisten(void *arg)
{
    (void)arg;
}

static bool publish(void *arg, struct slice message)
{
    (void)arg;
    (void)message;
    return true;
}

static const struct cache_link LINK = {
    .listen = listen_to_none, .unlisten = unlisten, .publish = publish, .message_bytes_max = 7999};

/* ---- a request of a shop whose database is on another machine ---- */

struct scene {
    struct shop *shop;
    struct elsewhere elsewhere;
    struct services services;
    struct request request;
    struct cart cart;
    struct cart_line lines[2];
};

#define SHOWN SLICE("{\"id\":\"what is shown of the cart\"}")

static bool is_up(const struct scene *scene)
{
    return cache_shared_tier(scene->services.cache) == CACHE_TIER_UP;
}

static int begin(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    void *shop;
    assert_non_null(scene);
    shop_open(&shop);
    scene->shop = shop;
    elsewhere_begin(&scene->elsewhere, scene->shop->store);
    scene->services = (struct services){.store = scene->shop->store, .cache = cache_new(1 << 20)};
    memset(scene->services.seal_key, 7, sizeof(scene->services.seal_key));
    cache_connect(scene->services.cache, &LINK);
    for (int i = 0; i < 1000 && !is_up(scene); i++)
        usleep(5000);
    assert_true(is_up(scene));
    scene->request = (struct request){.services = &scene->services, .arena = &scene->shop->arena};
    scene->cart = (struct cart){.id = uuid_v4(), .version = 3, .status = CART_STATUS_ACTIVE};
    for (size_t i = 0; i < COUNT_OF(scene->lines); i++)
        scene->lines[i].product_id = uuid_v4();
    *state = scene;
    return 0;
}

static int end(void **state)
{
    struct scene *scene = *state;
    void *shop = scene->shop;
    cache_free(scene->services.cache);
    elsewhere_end(&scene->elsewhere, scene->shop->store);
    shop_close(&shop);
    free(scene);
    return 0;
}

static struct slice recalled(struct scene *scene, const struct cart *cart)
{
    struct cart_memory memory;
    cart_recall(&scene->request, cart->id, &memory);
    return cart_recalled(&memory, scene->request.arena, cart);
}

/* Shows the cart, as GET does. */
static void show(struct scene *scene)
{
    struct cart_memory memory;
    cart_recall(&scene->request, scene->cart.id, &memory);
    assert_true(slice_is_absent(cart_recalled(&memory, scene->request.arena, &scene->cart)));
    cart_remember(&memory, &scene->request, &scene->cart, scene->lines, COUNT_OF(scene->lines), SHOWN);
}

static void test_a_cart_is_remembered_at_its_version(void **state)
{
    struct scene *scene = *state;
    assert_true(slice_is_absent(recalled(scene, &scene->cart)));
    show(scene);
    assert_true(slice_equals(recalled(scene, &scene->cart), SHOWN));
    struct cart other = scene->cart;
    other.id = uuid_v4();
    assert_true(slice_is_absent(recalled(scene, &other)));
    /* another version, another status: forgotten for all, then remembered anew */
    struct cart changes[3] = {scene->cart, scene->cart, scene->cart};
    changes[0].version++;
    changes[1].status = CART_STATUS_CONVERTING;
    changes[2].updated_at_ms++;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        assert_true(slice_equals(recalled(scene, &scene->cart), SHOWN));
        assert_true(slice_is_absent(recalled(scene, &changes[i])));
        assert_true(slice_is_absent(recalled(scene, &scene->cart)));
        show(scene);
    }
}

static void test_what_it_shows_changes(void **state)
{
    struct scene *scene = *state;
    char id[UUID_TEXT_LEN];
    uuid_format(scene->lines[1].product_id, id);
    struct slice tags[] = {SLICE("settings"),
                           arena_format(&scene->shop->arena, "product:%.*s", UUID_TEXT_LEN, id)};
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        show(scene);
        assert_true(slice_equals(recalled(scene, &scene->cart), SHOWN));
        cache_drop_tag(scene->services.cache, tags[i]);
        assert_true(slice_is_absent(recalled(scene, &scene->cart)));
    }
    /* while it was being read */
    struct cart_memory memory;
    cart_recall(&scene->request, scene->cart.id, &memory);
    cache_drop_tag(scene->services.cache, tags[1]);
    cart_remember(&memory, &scene->request, &scene->cart, scene->lines, COUNT_OF(scene->lines), SHOWN);
    assert_true(slice_is_absent(recalled(scene, &scene->cart)));
}

static bool holds(struct slice text, const void *part, size_t len)
{
    return memmem(text.ptr, text.len, part, len) != NULL;
}

/* A guest's cart id opens the cart: whoever reads the cache finds neither the id nor what is in the cart. */
static void test_the_cache_tells_nothing(void **state)
{
    struct scene *scene = *state;
    struct cart_memory memory;
    struct slice value;
    int64_t age_s;
    char id[UUID_TEXT_LEN];
    uuid_format(scene->cart.id, id);
    show(scene);
    cart_recall(&scene->request, scene->cart.id, &memory);
    assert_true(cache_get(scene->services.cache, memory.key, &scene->shop->arena, &value, &age_s));
    assert_false(holds(memory.key, id, UUID_TEXT_LEN));
    assert_false(holds(memory.key, scene->cart.id.bytes, sizeof(scene->cart.id.bytes)));
    assert_false(holds(value, id, UUID_TEXT_LEN));
    assert_false(holds(value, "shown", 5));
    /* under another secret it is another entry */
    memset(scene->services.seal_key, 8, sizeof(scene->services.seal_key));
    assert_true(slice_is_absent(recalled(scene, &scene->cart)));
}

/* Where the database is as near as the cache, or nobody would tell of edits, nothing is kept. */
static void test_nothing_is_kept_where_it_does_not_pay(void **state)
{
    struct scene *scene = *state;
    struct cart_memory memory;
    struct cache *shared = scene->services.cache;
    scene->services.cache = cache_new(1 << 20);
    cart_recall(&scene->request, scene->cart.id, &memory);
    assert_null(memory.cache);
    cache_free(scene->services.cache);
    scene->services.cache = shared;
    scene->elsewhere.driver.reads_inline = true;
    cart_recall(&scene->request, scene->cart.id, &memory);
    assert_null(memory.cache);
    assert_true(slice_is_absent(cart_recalled(&memory, &scene->shop->arena, &scene->cart)));
    cart_remember(&memory, &scene->request, &scene->cart, scene->lines, COUNT_OF(scene->lines), SHOWN);
    scene->elsewhere.driver.reads_inline = false;
    assert_true(slice_is_absent(recalled(scene, &scene->cart)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_a_cart_is_remembered_at_its_version),
        TEST(test_what_it_shows_changes),
        TEST(test_the_cache_tells_nothing),
        TEST(test_nothing_is_kept_where_it_does_not_pay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
