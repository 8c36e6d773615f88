/* The tables that are copied and their columns with the seam's types, which SQLite's catalogue does not know.
 * A test holds this list against the catalogues of both engines: a migration that adds a table or a column
 * adds it here. Columns that the engine keeps by itself are not copied. */
#include "data/copy_private.h"

/* clang-format off: one column a line */

static const struct copy_column USERS[] = {
    {"id", DB_UUID},
    {"email", DB_TEXT},
    {"email_folded", DB_TEXT},
    {"password_hash", DB_TEXT},
    {"first_name", DB_TEXT},
    {"last_name", DB_TEXT},
    {"name_sort", DB_TEXT},
    {"phone", DB_TEXT},
    {"role", DB_TEXT},
    {"status", DB_TEXT},
    {"email_verified_at", DB_TIME},
    {"preferences", DB_JSON},
    {"version", DB_INT},
    {"created_at", DB_TIME},
    {"updated_at", DB_TIME},
    {"last_login_at", DB_TIME},
    {"deleted_at", DB_TIME},
    {"staff_role", DB_TEXT},
    {"second_factor_at", DB_TIME},
};

static const struct copy_column ADDRESSES[] = {
    {"id", DB_UUID},
    {"user_id", DB_UUID},
    {"first_name", DB_TEXT},
    {"last_name", DB_TEXT},
    {"company", DB_TEXT},
    {"address1", DB_TEXT},
    {"address2", DB_TEXT},
    {"city", DB_TEXT},
    {"province", DB_TEXT},
    {"zip", DB_TEXT},
    {"country", DB_TEXT},
    {"phone", DB_TEXT},
    {"is_default_shipping", DB_BOOL},
    {"is_default_billing", DB_BOOL},
    {"version", DB_INT},
    {"created_at", DB_TIME},
    {"updated_at", DB_TIME},
};

static const struct copy_column SIGNING_KEYS[] = {
    {"kid", DB_TEXT},        {"state", DB_TEXT},        {"sealed_private", DB_BLOB}, {"public_jwk", DB_JSON},
    {"created_at", DB_TIME}, {"activated_at", DB_TIME}, {"retired_at", DB_TIME},
};

static const struct copy_column SESSIONS[] = {
    {"id", DB_UUID},         {"user_id", DB_UUID},      {"is_cookie", DB_BOOL},
    {"created_at", DB_TIME}, {"last_used_at", DB_TIME}, {"expires_at", DB_TIME},
    {"revoked_at", DB_TIME}, {"address", DB_TEXT},      {"user_agent", DB_TEXT},
};

static const struct copy_column REFRESH_TOKENS[] = {
    {"token_hash", DB_BLOB}, {"session_id", DB_UUID}, {"created_at", DB_TIME},
    {"expires_at", DB_TIME}, {"used_at", DB_TIME},
};

static const struct copy_column ACCOUNT_TOKENS[] = {
    {"token_hash", DB_BLOB}, {"user_id", DB_UUID},    {"purpose", DB_TEXT},
    {"created_at", DB_TIME}, {"expires_at", DB_TIME}, {"used_at", DB_TIME},
};

static const struct copy_column CATEGORIES[] = {
    {"id", DB_UUID},           {"parent_id", DB_UUID},   {"name", DB_TEXT},       {"name_sort", DB_TEXT},
    {"slug", DB_TEXT},         {"description", DB_TEXT}, {"position", DB_INT},    {"is_active", DB_BOOL},
    {"product_count", DB_INT}, {"version", DB_INT},      {"created_at", DB_TIME}, {"updated_at", DB_TIME},
};

static const struct copy_column PRODUCTS[] = {
    {"number", DB_INT},
    {"id", DB_UUID},
    {"category_id", DB_UUID},
    {"name", DB_TEXT},
    {"name_sort", DB_TEXT},
    {"slug", DB_TEXT},
    {"description", DB_TEXT},
    {"vendor", DB_TEXT},
    {"currency", DB_TEXT},
    {"price_minor", DB_INT},
    {"compare_price_minor", DB_INT},
    {"options", DB_JSON},
    {"images", DB_JSON},
    {"attributes", DB_JSON},
    {"seo_title", DB_TEXT},
    {"seo_description", DB_TEXT},
    {"is_active", DB_BOOL},
    {"is_featured", DB_BOOL},
    {"version", DB_INT},
    {"created_at", DB_TIME},
    {"updated_at", DB_TIME},
    {"deleted_at", DB_TIME},
};

static const struct copy_column PRODUCT_DOCUMENTS[] = {
    {"product_number", DB_INT},
    {"product_id", DB_UUID},
    {"version", DB_INT},
    {"body", DB_TEXT},
};

static const struct copy_column CATEGORY_PRODUCTS[] = {
    {"category_id", DB_UUID}, {"created_at", DB_TIME}, {"number", DB_INT},
    {"price_minor", DB_INT},  {"name_sort", DB_TEXT},
};

static const struct copy_column PRODUCT_TAGS[] = {
    {"tag", DB_TEXT},
    {"number", DB_INT},
};

static const struct copy_column VARIANTS[] = {
    {"id", DB_UUID},
    {"product_id", DB_UUID},
    {"position", DB_INT},
    {"sku", DB_TEXT},
    {"options", DB_JSON},
    {"price_minor", DB_INT},
    {"compare_price_minor", DB_INT},
    {"cost_minor", DB_INT},
    {"weight_grams", DB_INT},
    {"created_at", DB_TIME},
    {"updated_at", DB_TIME},
    {"deleted_at", DB_TIME},
};

static const struct copy_column VARIANT_STOCK[] = {
    {"product_id", DB_UUID}, {"variant_id", DB_UUID},       {"on_hand", DB_INT},     {"reserved", DB_INT},
    {"is_tracked", DB_BOOL}, {"allows_backorder", DB_BOOL}, {"is_retired", DB_BOOL},
};

static const struct copy_column STOCK_MOVEMENTS[] = {
    {"id", DB_UUID},       {"variant_id", DB_UUID},   {"product_id", DB_UUID}, {"kind", DB_TEXT},
    {"quantity", DB_INT},  {"on_hand_after", DB_INT}, {"reason", DB_TEXT},     {"order_id", DB_UUID},
    {"actor_id", DB_UUID}, {"created_at", DB_TIME},
};

static const struct copy_column MEDIA[] = {
    {"name", DB_TEXT},
    {"content_type", DB_TEXT},
    {"body", DB_BLOB},
    {"created_at", DB_TIME},
};

static const struct copy_column CARTS[] = {
    {"number", DB_INT},    {"id", DB_UUID},     {"user_id", DB_UUID},    {"status", DB_TEXT},
    {"order_id", DB_UUID}, {"version", DB_INT}, {"created_at", DB_TIME}, {"updated_at", DB_TIME},
};

static const struct copy_column CART_LINES[] = {
    {"cart_id", DB_UUID}, {"id", DB_UUID},         {"product_id", DB_UUID},      {"variant_id", DB_UUID},
    {"quantity", DB_INT}, {"options", DB_JSON},    {"unit_price_minor", DB_INT}, {"name", DB_TEXT},
    {"sku", DB_TEXT},     {"created_at", DB_TIME},
};

static const struct copy_column ORDERS[] = {
    {"number", DB_INT},
    {"id", DB_UUID},
    {"order_number", DB_TEXT},
    {"user_id", DB_UUID},
    {"cart_id", DB_UUID},
    {"email", DB_TEXT},
    {"email_folded", DB_TEXT},
    {"status", DB_TEXT},
    {"payment_status", DB_TEXT},
    {"fulfillment_status", DB_TEXT},
    {"was_paid_at_checkout", DB_BOOL},
    {"currency", DB_TEXT},
    {"subtotal_minor", DB_INT},
    {"discount_minor", DB_INT},
    {"shipping_minor", DB_INT},
    {"tax_minor", DB_INT},
    {"total_minor", DB_INT},
    {"paid_minor", DB_INT},
    {"refunded_minor", DB_INT},
    {"items", DB_JSON},
    {"shipping_address", DB_JSON},
    {"billing_address", DB_JSON},
    {"shipping_method", DB_TEXT},
    {"payment_method", DB_TEXT},
    {"customer_notes", DB_TEXT},
    {"hold_minutes", DB_INT},
    {"hold_expires_at", DB_TIME},
    {"version", DB_INT},
    {"created_at", DB_TIME},
    {"updated_at", DB_TIME},
};

static const struct copy_column ORDER_EVENTS[] = {
    {"order_id", DB_UUID},   {"sequence", DB_INT},  {"type", DB_TEXT},
    {"from_value", DB_TEXT}, {"to_value", DB_TEXT}, {"actor", DB_TEXT},
    {"actor_id", DB_UUID},   {"note", DB_TEXT},     {"created_at", DB_TIME},
};

static const struct copy_column PAYMENTS[] = {
    {"id", DB_UUID},     {"order_id", DB_UUID},    {"kind", DB_TEXT},         {"provider", DB_TEXT},
    {"status", DB_TEXT}, {"amount_minor", DB_INT}, {"provider_key", DB_TEXT}, {"reference", DB_TEXT},
    {"note", DB_TEXT},   {"actor_id", DB_UUID},    {"created_at", DB_TIME},   {"updated_at", DB_TIME},
};

static const struct copy_column FULFILLMENTS[] = {
    {"id", DB_UUID},           {"order_id", DB_UUID},
    {"carrier", DB_TEXT},      {"tracking_number", DB_TEXT},
    {"tracking_url", DB_TEXT}, {"shipped_at", DB_TIME},
    {"delivered_at", DB_TIME},
};

static const struct copy_column OPEN_GUEST_ORDERS[] = {
    {"limit_key", DB_TEXT},
    {"order_id", DB_UUID},
};

static const struct copy_column SHOP_SETTINGS[] = {
    {"id", DB_INT},
    {"store_name", DB_TEXT},
    {"currency", DB_TEXT},
    {"tax_rate_basis_points", DB_INT},
    {"shipping_rate_minor", DB_INT},
    {"express_shipping_rate_minor", DB_INT},
    {"free_shipping_threshold_minor", DB_INT},
    {"reservation_hold_minutes", DB_INT},
    {"cart_ttl_days", DB_INT},
    {"max_quantity_per_line", DB_INT},
    {"max_lines_per_cart", DB_INT},
    {"max_open_guest_orders_per_email", DB_INT},
    {"max_open_guest_orders_per_address", DB_INT},
    {"version", DB_INT},
    {"updated_at", DB_TIME},
};

static const struct copy_column IDEMPOTENCY_RECORDS[] = {
    {"scope", DB_BLOB},    {"body_hash", DB_BLOB},  {"status", DB_INT},      {"body", DB_TEXT},
    {"order_id", DB_UUID}, {"created_at", DB_TIME}, {"subject_id", DB_UUID},
};

static const struct copy_column OUTBOX[] = {
    {"id", DB_INT},      {"topic", DB_TEXT},   {"payload", DB_JSON},      {"created_at", DB_TIME},
    {"due_at", DB_TIME}, {"attempts", DB_INT}, {"delivered_at", DB_TIME}, {"last_error", DB_TEXT},
};

static const struct copy_column ROLES[] = {
    {"name", DB_TEXT},   {"description", DB_TEXT}, {"scopes", DB_TEXT},     {"is_built_in", DB_BOOL},
    {"version", DB_INT}, {"created_at", DB_TIME},  {"updated_at", DB_TIME},
};

static const struct copy_column AUDIT_LOG[] = {
    {"id", DB_UUID},          {"created_at", DB_TIME},    {"actor_kind", DB_TEXT},  {"actor_id", DB_UUID},
    {"operation", DB_TEXT},   {"resource_kind", DB_TEXT}, {"resource_id", DB_TEXT}, {"state_before", DB_JSON},
    {"state_after", DB_JSON}, {"address", DB_TEXT},       {"user_agent", DB_TEXT},  {"request_id", DB_TEXT},
};

static const struct copy_column ATTEMPT_COUNTERS[] = {
    {"key", DB_BLOB},
    {"count", DB_INT},
    {"window_ends_at", DB_TIME},
};

static const struct copy_column SECOND_FACTORS[] = {
    {"user_id", DB_UUID},    {"sealed_secret", DB_BLOB}, {"last_step", DB_INT},
    {"created_at", DB_TIME}, {"confirmed_at", DB_TIME},
};

static const struct copy_column RECOVERY_CODES[] = {
    {"user_id", DB_UUID},
    {"code_hash", DB_BLOB},
    {"created_at", DB_TIME},
    {"used_at", DB_TIME},
};

static const struct copy_column LOGIN_CHALLENGES[] = {
    {"token_hash", DB_BLOB}, {"user_id", DB_UUID},    {"is_cookie", DB_BOOL},  {"cart_id", DB_UUID},
    {"attempts", DB_INT},    {"created_at", DB_TIME}, {"expires_at", DB_TIME}, {"used_at", DB_TIME},
};

static const struct copy_column PLANS[] = {
    {"id", DB_UUID},         {"name", DB_TEXT},         {"description", DB_TEXT}, {"rate_per_minute", DB_INT},
    {"burst", DB_INT},       {"monthly_quota", DB_INT}, {"quota_binds", DB_TEXT}, {"version", DB_INT},
    {"created_at", DB_TIME}, {"updated_at", DB_TIME},
};

static const struct copy_column API_KEYS[] = {
    {"id", DB_UUID},     {"kind", DB_TEXT},       {"name", DB_TEXT},       {"plan_id", DB_UUID},
    {"scopes", DB_TEXT}, {"expires_at", DB_TIME}, {"revoked_at", DB_TIME}, {"created_by", DB_UUID},
    {"version", DB_INT}, {"created_at", DB_TIME}, {"updated_at", DB_TIME},
};

static const struct copy_column API_KEY_SECRETS[] = {
    {"hash", DB_BLOB},  {"key_id", DB_UUID},     {"prefix", DB_TEXT},
    {"last4", DB_TEXT}, {"created_at", DB_TIME}, {"valid_until", DB_TIME},
};

static const struct copy_column API_KEY_USAGE[] = {
    {"key_id", DB_UUID},
    {"month", DB_INT},
    {"requests", DB_INT},
    {"last_used_at", DB_TIME},
};

static const struct copy_column IDENTITIES[] = {
    {"issuer", DB_TEXT},    {"subject", DB_TEXT},    {"user_id", DB_UUID},
    {"groups_at", DB_TIME}, {"valid_from", DB_TIME}, {"created_at", DB_TIME},
};

/* clang-format on */

#define TABLE(table_name, list, key_count, rows, whole)                                                      \
    {                                                                                                        \
        .name = table_name, .columns = list, .column_count = COUNT_OF(list), .keys = key_count,              \
        .batch_rows = rows, .is_whole = whole                                                                \
    }

const struct copy_table copy_tables[] = {
    TABLE("users", USERS, 1, 1000, false),
    TABLE("addresses", ADDRESSES, 1, 1000, false),
    TABLE("signing_keys", SIGNING_KEYS, 1, 1000, false),
    TABLE("sessions", SESSIONS, 1, 1000, false),
    TABLE("refresh_tokens", REFRESH_TOKENS, 1, 1000, false),
    TABLE("account_tokens", ACCOUNT_TOKENS, 1, 1000, false),
    TABLE("categories", CATEGORIES, 1, 1000, true),
    TABLE("products", PRODUCTS, 1, 500, false),
    TABLE("product_documents", PRODUCT_DOCUMENTS, 1, 500, false),
    TABLE("category_products", CATEGORY_PRODUCTS, 3, 1000, false),
    TABLE("product_tags", PRODUCT_TAGS, 2, 1000, false),
    TABLE("variants", VARIANTS, 1, 1000, false),
    TABLE("variant_stock", VARIANT_STOCK, 2, 1000, false),
    TABLE("stock_movements", STOCK_MOVEMENTS, 1, 1000, false),
    TABLE("media", MEDIA, 1, 8, false),
    TABLE("carts", CARTS, 1, 1000, false),
    TABLE("cart_lines", CART_LINES, 2, 1000, false),
    TABLE("orders", ORDERS, 1, 500, false),
    TABLE("order_events", ORDER_EVENTS, 2, 1000, false),
    TABLE("payments", PAYMENTS, 1, 1000, false),
    TABLE("fulfillments", FULFILLMENTS, 1, 1000, false),
    TABLE("open_guest_orders", OPEN_GUEST_ORDERS, 2, 1000, false),
    TABLE("shop_settings", SHOP_SETTINGS, 1, 1000, false),
    TABLE("idempotency_records", IDEMPOTENCY_RECORDS, 1, 1000, false),
    TABLE("outbox", OUTBOX, 1, 1000, false),
    TABLE("roles", ROLES, 1, 1000, false),
    TABLE("audit_log", AUDIT_LOG, 1, 100, false),
    TABLE("attempt_counters", ATTEMPT_COUNTERS, 1, 1000, false),
    TABLE("second_factors", SECOND_FACTORS, 1, 1000, false),
    TABLE("recovery_codes", RECOVERY_CODES, 2, 1000, false),
    TABLE("login_challenges", LOGIN_CHALLENGES, 1, 1000, false),
    TABLE("plans", PLANS, 1, 1000, false),
    TABLE("api_keys", API_KEYS, 1, 1000, false),
    TABLE("api_key_secrets", API_KEY_SECRETS, 1, 1000, false),
    TABLE("api_key_usage", API_KEY_USAGE, 2, 1000, false),
    TABLE("identities", IDENTITIES, 2, 1000, false),
};

const size_t copy_table_count = COUNT_OF(copy_tables);
