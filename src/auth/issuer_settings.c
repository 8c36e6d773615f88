/* Which settings of an identity provider go together, and what follows from them. */
#include "auth/issuer_private.h"
#include "auth/session.h"

#include "net/url.h"

static bool complain(struct slice *complaint, struct slice line)
{
    *complaint = line;
    return false;
}

/* As the shop names roles; which there are stands in its database. */
static bool is_role_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return name.len > 0 && name.len <= ROLE_BYTES_MAX;
}

bool issuer_role_map_next(struct slice *rest, struct slice *group, struct slice *role, const char **rule)
{
    struct slice entry;
    *rule = NULL;
    if (rest->len == 0 || !slice_split(rest, ',', &entry))
        return false;
    size_t equals = entry.len; /* a group's name may hold one: the last counts */
    while (equals > 0 && entry.ptr[equals - 1] != '=')
        equals--;
    *group = equals > 0 ? slice_trim((struct slice){entry.ptr, equals - 1}) : SLICE("");
    *role = slice_trim(slice_skip(entry, equals));
    if (group->len == 0 || !is_role_name(*role))
        *rule = "must be group=role with commas between them, such as admins=admin,clerks=staff";
    return true;
}

static bool role_map_check(struct slice map, struct arena *arena, struct slice *complaint)
{
    struct slice group, role;
    const char *rule;
    while (issuer_role_map_next(&map, &group, &role, &rule)) {
        if (rule != NULL)
            return complain(complaint, arena_format(arena, "AUTH_ROLE_MAP %s", rule));
    }
    return true;
}

static bool url_check(const char *setting, struct slice url, struct arena *arena, struct slice *complaint)
{
    const char *rule = url.len > 0 ? url_http_rule(url) : NULL;
    return rule == NULL || complain(complaint, arena_format(arena, "%s %s", setting, rule));
}

/* "eu-west-1_AbCdEfGhI": it becomes a part of addresses. */
static bool is_pool_id(struct slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_'))
            return false;
    }
    return id.len > 0 && id.len <= 55;
}

static struct slice without_slash(struct slice url)
{
    return url.len > 0 && url.ptr[url.len - 1] == '/' ? (struct slice){url.ptr, url.len - 1} : url;
}

static bool cognito_read(const struct config *config, struct arena *arena, struct issuer_settings *settings,
                         struct slice *complaint)
{
    struct slice pool = config->cognito_user_pool_id, region = config->aws.region;
    if (!is_pool_id(pool))
        return complain(complaint,
                        SLICE("COGNITO_USER_POOL_ID must be set with AUTH_PROVIDER=cognito: letters, "
                              "digits, - and _, such as eu-west-1_AbCdEfGhI"));
    if (config->cognito_client_id.len == 0)
        return complain(complaint, SLICE("COGNITO_CLIENT_ID must be set with AUTH_PROVIDER=cognito"));
    if (region.len == 0) {
        struct slice rest = pool;
        (void)slice_split(&rest, '_', &region);
    }
    if (!is_pool_id(region))
        return complain(complaint, SLICE("AWS_REGION must be a region, such as eu-west-1"));
    struct slice real = arena_format(arena, "https://cognito-idp.%.*s.amazonaws.com", SLICE_ARG(region));
    struct slice endpoint = config->cognito_endpoint.len > 0 ? without_slash(config->cognito_endpoint) : real;
    settings->endpoint = arena_format(arena, "%.*s/", SLICE_ARG(endpoint));
    settings->issuer = config->auth_issuer.len > 0
                           ? config->auth_issuer
                           : arena_format(arena, "%.*s/%.*s", SLICE_ARG(real), SLICE_ARG(pool));
    settings->keys_url =
        arena_format(arena, "%.*s/%.*s/.well-known/jwks.json", SLICE_ARG(endpoint), SLICE_ARG(pool));
    settings->client_id = config->cognito_client_id;
    settings->client_secret = config->cognito_client_secret;
    return true;
}

static bool oidc_read(const struct config *config, struct arena *arena, struct issuer_settings *settings,
                      struct slice *complaint)
{
    if (config->auth_issuer.len == 0)
        return complain(complaint, SLICE("AUTH_ISSUER must be set with AUTH_PROVIDER=oidc"));
    if (config->auth_audience.len == 0)
        return complain(complaint, SLICE("AUTH_AUDIENCE must be set with AUTH_PROVIDER=oidc: tokens that the "
                                         "issuer made for others are not for this shop"));
    if (config->cognito_user_pool_id.len > 0 || config->cognito_client_id.len > 0)
        return complain(complaint, SLICE("COGNITO_USER_POOL_ID and COGNITO_CLIENT_ID go with "
                                         "AUTH_PROVIDER=cognito, not with oidc"));
    struct slice issuer = without_slash(config->auth_issuer);
    settings->issuer = config->auth_issuer;
    settings->discovery_url = arena_format(arena, "%.*s/.well-known/openid-configuration", SLICE_ARG(issuer));
    return true;
}

bool issuer_settings_read(const struct config *config, struct arena *arena, struct issuer_settings *settings,
                          struct slice *complaint)
{
    *settings = (struct issuer_settings){
        .provider = config->auth_provider,
        .audience = config->auth_audience,
        .keys_url = SLICE_ABSENT,
        .role_claim = config->auth_role_claim,
        .role_map = config->auth_role_map,
        .ca_file = config->ca_file,
        .timeout_ms = config->auth_timeout_ms,
        .interval_ms = config->jwks_interval_ms,
    };
    if (!url_check("AUTH_ISSUER", config->auth_issuer, arena, complaint) ||
        !url_check("COGNITO_ENDPOINT", config->cognito_endpoint, arena, complaint) ||
        !role_map_check(config->auth_role_map, arena, complaint))
        return false;
    return config->auth_provider == AUTH_COGNITO ? cognito_read(config, arena, settings, complaint)
                                                 : oidc_read(config, arena, settings, complaint);
}
