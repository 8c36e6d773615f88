/* Filling a response: headers, tags, and the effects that wait for the commit. */
#include "http/response.h"

#include "data/cache.h"

/* A cache tag to drop once the commit is durable. */
struct response_drop {
    struct slice tag;
    bool is_fade;
    struct response_drop *next;
};

/* An amount to add to a metric once the commit is durable. */
struct response_count {
    struct metric *metric;
    int64_t amount;
    struct response_count *next;
};

void response_init(struct response *response, struct arena *arena, bool is_bare)
{
    response->arena = arena;
    buf_init(&response->body, arena);
    response->prefix = is_bare ? SLICE("") : SLICE("{\"data\":");
    buf_append(&response->body, response->prefix);
    json_init(&response->json, &response->body);
    response->content_type = "application/json";
    response->header_count = 0;
    response->version = 0;
    response->pagination = (struct pagination){.is_present = false};
    response->tag_count = 0;
    response->drops = NULL;
    response->counts = NULL;
    response->problem_code = NULL;
    response->is_uncacheable = false;
    response->database_failed = false;
}

struct slice response_content(const struct response *response)
{
    return slice_skip(buf_slice(&response->body), response->prefix.len);
}

void response_header(struct response *response, const char *name, struct slice value)
{
    CHECK(response->header_count < RESPONSE_HEADERS_MAX);
    for (size_t i = 0; i < value.len; i++)
        CHECK((unsigned char)value.ptr[i] >= 0x20 && value.ptr[i] != 0x7f);
    response->headers[response->header_count++] =
        (struct response_header){.name = name, .value = arena_copy(response->arena, value)};
}

struct slice response_header_value(const struct response *response, const char *name)
{
    for (unsigned i = 0; i < response->header_count; i++) {
        if (strcmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    }
    return SLICE_ABSENT;
}

void response_version(struct response *response, int64_t version)
{
    response->version = version;
}

void response_location(struct response *response, const char *collection, struct uuid id)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    response_header(response, "Location",
                    arena_format(response->arena, "%s%.*s", collection, UUID_TEXT_LEN, text));
}

void response_tag(struct response *response, const char *kind, struct uuid id)
{
    /* An entry without one of its tags could outlive what it shows: rather no entry. */
    if (response->tag_count == COUNT_OF(response->tags)) {
        response->is_uncacheable = true;
        return;
    }
    response->tags[response->tag_count++] = cache_tag_of(response->arena, kind, id);
}

static void drop_add(struct response *response, struct slice tag, bool is_fade)
{
    struct response_drop *drop = ARENA_NEW(response->arena, struct response_drop);
    drop->tag = tag;
    drop->is_fade = is_fade;
    drop->next = response->drops;
    response->drops = drop;
}

void response_drop(struct response *response, const char *tag)
{
    drop_add(response, slice_from(tag), false);
}

void response_drop_id(struct response *response, const char *kind, struct uuid id)
{
    drop_add(response, cache_tag_of(response->arena, kind, id), false);
}

void response_fade_id(struct response *response, const char *kind, struct uuid id)
{
    drop_add(response, cache_tag_of(response->arena, kind, id), true);
}

void response_count(struct response *response, struct metric *metric, int64_t amount)
{
    struct response_count *count = ARENA_NEW(response->arena, struct response_count);
    count->metric = metric;
    count->amount = amount;
    count->next = response->counts;
    response->counts = count;
}

void response_run_effects(struct response *response, struct cache *cache)
{
    for (const struct response_drop *drop = response->drops; drop != NULL; drop = drop->next) {
        if (cache != NULL && drop->is_fade)
            cache_fade_tag(cache, drop->tag);
        else if (cache != NULL)
            cache_drop_tag(cache, drop->tag);
    }
    for (const struct response_count *count = response->counts; count != NULL; count = count->next)
        metric_add(count->metric, count->amount);
    response->drops = NULL;
    response->counts = NULL;
}

enum http_status response_precondition(struct response *response, const struct request *request,
                                       int64_t version)
{
    if (!request->has_if_match || request->if_match_version == version)
        return (enum http_status)0;
    return problem(response, PROBLEM_PRECONDITION_FAILED, "It is at another version now; read it again");
}
