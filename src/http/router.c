/* The route tree. */
#include "http/router.h"

#include "base/check.h"
#include "http/target.h"

#include <stdlib.h>

#define METHOD_COUNT (METHOD_OTHER + 1)

struct route_node {
    struct slice name;            /* the literal segment; absent for a parameter */
    struct route_node *next;      /* the sibling literals */
    struct route_node *literals;  /* below this node */
    struct route_node *parameter; /* below this node: any text */
    const struct operation *operations[METHOD_COUNT];
    unsigned methods;
};

struct router {
    struct route_node root;
};

static struct route_node *node_new(struct slice name)
{
    struct route_node *node = calloc(1, sizeof(*node));
    CHECK(node != NULL); /* at start */
    node->name = name;
    return node;
}

/* The child for a segment of an operation's path, made when it is missing. */
static struct route_node *node_child(struct route_node *node, struct slice segment)
{
    CHECK(segment.len > 0);
    if (segment.ptr[0] == '{') {
        if (node->parameter == NULL)
            node->parameter = node_new(SLICE_ABSENT);
        return node->parameter;
    }
    for (struct route_node *child = node->literals; child != NULL; child = child->next) {
        if (slice_equals(child->name, segment))
            return child;
    }
    struct route_node *child = node_new(segment);
    child->next = node->literals;
    node->literals = child;
    return child;
}

static void router_add(struct router *router, const struct operation *operation)
{
    struct slice rest = slice_skip(slice_from(operation->path), 1);
    CHECK(operation->path[0] == '/');
    struct route_node *node = &router->root;
    size_t segments = 0;
    size_t parameters = 0;
    struct slice segment;
    if (rest.len == 0)
        rest = SLICE_ABSENT; /* "/" itself */
    while (slice_split(&rest, '/', &segment)) {
        node = node_child(node, segment);
        segments++;
        parameters += segment.ptr[0] == '{';
    }
    CHECK(segments <= ROUTE_SEGMENTS_MAX && parameters <= ROUTE_PARAMETERS_MAX);
    CHECK(node->operations[operation->method] == NULL);
    node->operations[operation->method] = operation;
    node->methods |= 1u << operation->method;
    if (operation->method == METHOD_GET)
        node->methods |= 1u << METHOD_HEAD;
}

struct router *router_new(const struct operation_table *table)
{
    struct router *router = calloc(1, sizeof(*router));
    CHECK(router != NULL);
    for (unsigned i = 0; i < table->count; i++)
        router_add(router, &table->operations[i]);
    return router;
}

static void node_free_below(struct route_node *node)
{
    for (struct route_node *child = node->literals; child != NULL;) {
        struct route_node *next = child->next;
        node_free_below(child);
        free(child);
        child = next;
    }
    if (node->parameter != NULL) {
        node_free_below(node->parameter);
        free(node->parameter);
    }
}

void router_free(struct router *router)
{
    if (router == NULL)
        return;
    node_free_below(&router->root);
    free(router);
}

struct segments {
    struct slice list[ROUTE_SEGMENTS_MAX];
    size_t count;
};

/* Cuts the path at its raw slashes and unescapes each piece. */
static enum route_result segments_cut(struct arena *arena, struct slice path, struct segments *segments)
{
    segments->count = 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return ROUTE_NO_PATH;
    struct slice rest = slice_skip(path, 1);
    if (rest.len == 0)
        return ROUTE_FOUND;
    struct slice segment;
    bool is_too_deep = false;
    while (slice_split(&rest, '/', &segment)) {
        struct slice plain;
        if (!target_unescape(arena, segment, false, &plain))
            return ROUTE_MALFORMED;
        if (segments->count == ROUTE_SEGMENTS_MAX)
            is_too_deep = true; /* go on: a malformed tail is still 400 */
        else
            segments->list[segments->count++] = plain;
    }
    return is_too_deep ? ROUTE_NO_PATH : ROUTE_FOUND;
}

/* The node of the segments from `at` on, or NULL; fills the parameters' values on its way. A literal is tried
 * first; when its branch ends without the path, the parameter beside it is. Depth is bounded by
 * ROUTE_SEGMENTS_MAX. */
static const struct route_node *node_find(const struct route_node *node, const struct segments *segments,
                                          size_t at, size_t parameters, struct route *route)
{
    if (at == segments->count) {
        route->value_count = parameters;
        return node->methods != 0 ? node : NULL;
    }
    struct slice segment = segments->list[at];
    for (const struct route_node *child = node->literals; child != NULL; child = child->next) {
        if (slice_equals(child->name, segment)) {
            const struct route_node *found = node_find(child, segments, at + 1, parameters, route);
            if (found != NULL)
                return found;
            break;
        }
    }
    if (node->parameter == NULL || segment.len == 0)
        return NULL;
    route->values[parameters] = segment;
    return node_find(node->parameter, segments, at + 1, parameters + 1, route);
}

enum route_result router_find(const struct router *router, struct arena *arena, enum http_method method,
                              struct slice path, struct route *route)
{
    struct segments segments;
    enum route_result cut = segments_cut(arena, path, &segments);
    if (cut != ROUTE_FOUND)
        return cut;
    const struct route_node *node = node_find(&router->root, &segments, 0, 0, route);
    if (node == NULL)
        return ROUTE_NO_PATH;
    route->methods = node->methods;
    route->operation = node->operations[method == METHOD_HEAD ? METHOD_GET : method];
    return route->operation != NULL ? ROUTE_FOUND : ROUTE_NO_METHOD;
}
