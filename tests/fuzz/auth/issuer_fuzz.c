/* Whatever an issuer says: JWK sets, claims of tokens that it signed, and a map of roles stay inside their
 * bytes and their memory. The first byte chooses. */
#include "fuzz.h"

#include "auth/issuer_private.h"

#include "base/check.h"

static struct arena arena;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    crypto_start();
    return arena_init(&arena, (size_t)64 << 20) ? 0 : 1;
}

static void fuzz_keys(struct slice text)
{
    const char *why;
    struct jwk_set *set = jwk_set_parse(&arena, text, &why);
    if (set == NULL) {
        CHECK(why != NULL);
        return;
    }
    CHECK(jwk_set_count(set) > 0 && jwk_set_count(set) <= JWKS_KEYS_MAX && jwk_set_is_within(set, set));
    const struct jwk *key = jwk_set_find(set, SLICE("k"));
    if (key != NULL) { /* nobody signed this */
        CHECK(!jwk_verify(key, SLICE("ES256"), SLICE("input"), (struct slice){text.ptr, 64}));
        CHECK(!jwk_verify(key, SLICE("HS256"), SLICE("input"), text));
    }
    jwk_set_release(set);
}

static void fuzz_claims(struct slice text, enum auth_provider provider)
{
    const struct issuer_settings settings = {.provider = provider,
                                             .issuer = SLICE("i"),
                                             .audience = provider == AUTH_OIDC ? SLICE("a") : SLICE(""),
                                             .client_id = SLICE("c"),
                                             .role_claim = SLICE("groups"),
                                             .role_map = SLICE("g=admin,h=staff")};
    struct issued_token issued = {.text = SLICE("t")};
    if (!issuer_claims_check(&settings, &arena, text, 1900000000000, &issued))
        return;
    CHECK(issued.subject.len > 0 && issued.subject.len <= ISSUER_SUBJECT_BYTES_MAX);
    CHECK(issued.expires_at_ms > 1900000000000 && issued.not_before_ms <= 1900000000000);
    CHECK(!slice_is_absent(issued.role));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data + 1, size - 1}, group, role;
    const char *rule;
    if (size < 66)
        return 0;
    arena_reset(&arena);
    switch (data[0] % 4) {
    case 0:
        fuzz_keys(text);
        break;
    case 1:
        fuzz_claims(text, AUTH_OIDC);
        break;
    case 2:
        fuzz_claims(text, AUTH_COGNITO);
        break;
    default:
        while (issuer_role_map_next(&text, &group, &role, &rule))
            CHECK(rule != NULL || (group.len > 0 && role.len > 0));
    }
    return 0;
}
