/* The mails of the shop: to whom, and in what words. A message names an order or an account; everything else
 * is read when it is delivered. */
#include "jobs/messages.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/text.h"
#include "shop/order.h"
#include "shop/settings.h"
#include "shop/users.h"

#include <jansson.h>

#define TEXT_COLUMN 60 /* where the amounts of a mail end */

/* One message on its way to a mail. */
struct letter {
    const struct step *step;
    const struct outbox_message *message;
    json_t *payload;
    struct shop_settings settings;
    struct order order; /* of topics about orders */
    struct uuid user_id;
    struct mail *mail;
    struct buf body;
    struct slice why;
};

static enum message_result fail(struct letter *letter, const char *why)
{
    letter->why = slice_from(why);
    return MESSAGE_FAILED;
}

/* ---- money ---- */

/* How many digits the minor unit of a currency has (ISO 4217); nearly always two. */
static int currency_digits(struct slice currency)
{
    static const char *const NONE[] = {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
                                       "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"};
    static const char *const THREE[] = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"};
    for (size_t i = 0; i < COUNT_OF(NONE); i++) {
        if (slice_is(currency, NONE[i]))
            return 0;
    }
    for (size_t i = 0; i < COUNT_OF(THREE); i++) {
        if (slice_is(currency, THREE[i]))
            return 3;
    }
    return 2;
}

/* "49.99 USD" */
static struct slice money_text(struct arena *arena, int64_t amount_minor, struct slice currency)
{
    int digits = currency_digits(currency);
    int64_t unit = digits == 0 ? 1 : digits == 2 ? 100 : 1000;
    if (digits == 0)
        return arena_format(arena, "%lld %.*s", (long long)amount_minor, SLICE_ARG(currency));
    return arena_format(arena, "%lld.%0*lld %.*s", (long long)(amount_minor / unit), digits,
                        (long long)(amount_minor % unit), SLICE_ARG(currency));
}

/* ---- the parts of an order's mail ---- */

/* `left`, and `amount` at the right edge; below it when there is no room. */
static void write_amount(struct letter *letter, struct slice left, int64_t amount_minor)
{
    struct slice amount = money_text(letter->step->arena, amount_minor, letter->order.currency);
    size_t used = text_length(left) + amount.len;
    buf_append(&letter->body, left);
    if (used + 2 > TEXT_COLUMN) {
        buf_append_char(&letter->body, '\n');
        used = amount.len;
    }
    buf_format(&letter->body, "%*s%.*s\n", used < TEXT_COLUMN ? (int)(TEXT_COLUMN - used) : 0, "",
               SLICE_ARG(amount));
}

static struct slice member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? slice_from(text) : SLICE("");
}

/* "  2 x Linen shirt (Size: M, Engraving: A.H.)" */
static struct slice line_text(struct arena *arena, const json_t *item)
{
    struct buf text;
    const char *key;
    json_t *value;
    bool is_first = true;
    buf_init(&text, arena);
    buf_format(&text, "  %lld x %.*s", (long long)json_integer_value(json_object_get(item, "quantity")),
               SLICE_ARG(member_text(item, "name")));
    json_t *options = json_object_get(item, "options");
    json_object_foreach(options, key, value)
    {
        buf_format(&text, "%s%s: %s", is_first ? " (" : ", ", key,
                   json_is_string(value) ? json_string_value(value) : "");
        is_first = false;
    }
    if (!is_first)
        buf_append_char(&text, ')');
    return buf_slice(&text);
}

static void write_lines(struct letter *letter)
{
    const struct order *order = &letter->order;
    json_t *items = json_loadb(order->items.ptr, order->items.len, 0, NULL);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const json_t *total = json_object_get(item, "totalPrice");
        write_amount(letter, line_text(letter->step->arena, item),
                     json_integer_value(json_object_get(total, "amount")));
    }
    json_decref(items);
}

static void write_totals(struct letter *letter)
{
    const struct order *order = &letter->order;
    buf_append_char(&letter->body, '\n');
    write_amount(letter, SLICE("  Subtotal"), order->subtotal_minor);
    if (order->discount_minor > 0)
        write_amount(letter, SLICE("  Discount"), -order->discount_minor);
    write_amount(letter, SLICE("  Shipping"), order->shipping_minor);
    write_amount(letter, SLICE("  Tax"), order->tax_minor);
    write_amount(letter, SLICE("  Total"), order->total_minor);
}

/* A line of an address; nothing when both parts are missing. */
static void write_address_line(struct letter *letter, struct slice first, struct slice second)
{
    if (first.len + second.len == 0)
        return;
    buf_format(&letter->body, "  %.*s%s%.*s\n", SLICE_ARG(first), first.len > 0 && second.len > 0 ? " " : "",
               SLICE_ARG(second));
}

static void write_address(struct letter *letter, const char *title, struct slice address_json)
{
    json_t *address = json_loadb(address_json.ptr, address_json.len, 0, NULL);
    struct slice none = SLICE("");
    buf_format(&letter->body, "\n%s\n", title);
    write_address_line(letter, member_text(address, "firstName"), member_text(address, "lastName"));
    write_address_line(letter, member_text(address, "company"), none);
    write_address_line(letter, member_text(address, "address1"), none);
    write_address_line(letter, member_text(address, "address2"), none);
    write_address_line(letter, member_text(address, "zip"), member_text(address, "city"));
    write_address_line(letter, member_text(address, "province"), none);
    write_address_line(letter, member_text(address, "country"), none);
    json_decref(address);
}

static void write_order(struct letter *letter)
{
    const struct order *order = &letter->order;
    char placed[CLOCK_RFC3339_LEN];
    clock_format_rfc3339(order->created_at_ms, placed);
    buf_format(&letter->body, "\nOrder %.*s of %.*s\n\n", SLICE_ARG(order->order_number), 10, placed);
    write_lines(letter);
    write_totals(letter);
    write_address(letter, "Ship to", order->shipping_address);
    if (!slice_is_absent(order->billing_address))
        write_address(letter, "Bill to", order->billing_address);
}

/* "Amina Haddad", as it is sent to. */
static struct slice order_customer(struct letter *letter)
{
    const struct slice address = letter->order.shipping_address;
    json_t *object = json_loadb(address.ptr, address.len, 0, NULL);
    struct slice name =
        arena_format(letter->step->arena, "%.*s %.*s", SLICE_ARG(member_text(object, "firstName")),
                     SLICE_ARG(member_text(object, "lastName")));
    json_decref(object);
    return slice_trim(name);
}

/* ---- what each topic about an order says first ---- */

static void say_placed(struct letter *letter)
{
    buf_append(&letter->body, SLICE("thank you for your order. This is what we have noted.\n"));
}

static void say_paid(struct letter *letter)
{
    const struct order *order = &letter->order;
    struct arena *arena = letter->step->arena;
    struct slice paid = money_text(arena, order->paid_minor, order->currency);
    buf_format(&letter->body, "we have received your payment: %.*s so far.\n", SLICE_ARG(paid));
    if (order->paid_minor < order->total_minor) {
        struct slice due = money_text(arena, order->total_minor - order->paid_minor, order->currency);
        buf_format(&letter->body, "%.*s are still due.\n", SLICE_ARG(due));
    }
}

static void say_cancelled(struct letter *letter)
{
    const struct order *order = &letter->order;
    buf_append(&letter->body, SLICE("your order has been cancelled and will not be sent.\n"));
    if (order->paid_minor > order->refunded_minor)
        buf_append(&letter->body, SLICE("We will be in touch about what you have paid.\n"));
}

DB_STATEMENT(TRACKING_READ) = {
    .sql = "SELECT carrier, tracking_number, tracking_url FROM fulfillments WHERE order_id = $1"
           " ORDER BY shipped_at, id LIMIT 1",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT},
};

static void say_shipped(struct letter *letter)
{
    buf_append(&letter->body, SLICE("your order is on its way.\n"));
    struct db_rows *rows = db_query(letter->step->db, &TRACKING_READ, DB_ARGS(db_uuid(letter->order.id)));
    if (db_next(rows) != DB_ROW)
        return;
    if (!db_is_null(rows, 0))
        buf_format(&letter->body, "Carrier: %.*s\n", SLICE_ARG(db_get_text(rows, 0)));
    if (!db_is_null(rows, 1))
        buf_format(&letter->body, "Tracking number: %.*s\n", SLICE_ARG(db_get_text(rows, 1)));
    if (!db_is_null(rows, 2))
        buf_format(&letter->body, "%.*s\n", SLICE_ARG(db_get_text(rows, 2)));
    db_close(rows);
}

static void say_delivered(struct letter *letter)
{
    buf_append(&letter->body, SLICE("your order has been delivered. We hope that you like it.\n"));
}

static void say_refunded(struct letter *letter)
{
    const struct order *order = &letter->order;
    struct slice refunded = money_text(letter->step->arena, order->refunded_minor, order->currency);
    buf_format(&letter->body, "we have given money back to you: %.*s in all.\n", SLICE_ARG(refunded));
}

static void say_payment_failed(struct letter *letter)
{
    buf_append(&letter->body,
               SLICE("the payment for your order did not go through. Nothing was charged, and the "
                     "order has been\ncancelled. You are welcome to order again.\n"));
}

static const struct order_topic {
    const char *topic;
    const char *subject; /* before the order's number */
    void (*say)(struct letter *letter);
} ORDER_TOPICS[] = {
    {"order.placed", "Your order", say_placed},
    {"order.paid", "Payment received for order", say_paid},
    {"order.cancelled", "Cancelled: order", say_cancelled},
    {"order.shipped", "On its way: order", say_shipped},
    {"order.delivered", "Delivered: order", say_delivered},
    {"order.refunded", "Refund for order", say_refunded},
    {"order.payment_failed", "Payment failed for order", say_payment_failed},
};

/* ---- what each topic about an account says ---- */

/* A link of the storefront with the token that the payload holds sealed. False when it does not open. */
static bool write_link(struct letter *letter, const char *page)
{
    struct arena *arena = letter->step->arena;
    const struct services *services = letter->step->services;
    struct slice sealed = base64url_decode(arena, member_text(letter->payload, "sealedToken"));
    struct slice token =
        slice_is_absent(sealed) ? SLICE_ABSENT : secret_open(arena, services->seal_key, sealed);
    if (slice_is_absent(token))
        return false;
    buf_format(&letter->body, "\n%.*s/store/%s?token=%.*s\n", SLICE_ARG(services->config->public_url), page,
               SLICE_ARG(token));
    return true;
}

static bool say_registered(struct letter *letter)
{
    buf_format(&letter->body, "welcome to %.*s. Your account is ready.\n",
               SLICE_ARG(letter->settings.store_name));
    if (json_object_get(letter->payload, "sealedToken") == NULL)
        return true;
    buf_append(&letter->body, SLICE("Please confirm your e-mail address:\n"));
    return write_link(letter, "verify");
}

static bool say_verify_email(struct letter *letter)
{
    buf_append(&letter->body, SLICE("please confirm your e-mail address:\n"));
    bool is_written = write_link(letter, "verify");
    buf_append(&letter->body,
               SLICE("\nThe link is good for 48 hours, once. If you did not ask for it, do nothing.\n"));
    return is_written;
}

static bool say_password_reset(struct letter *letter)
{
    buf_append(&letter->body, SLICE("here you can choose a new password:\n"));
    bool is_written = write_link(letter, "reset");
    buf_append(&letter->body,
               SLICE("\nThe link is good for one hour, once. If you did not ask for it, do nothing:\n"
                     "your password stays as it is.\n"));
    return is_written;
}

static const struct user_topic {
    const char *topic;
    const char *subject; /* before the shop's name */
    bool (*say)(struct letter *letter);
} USER_TOPICS[] = {
    {"user.registered", "Welcome to", say_registered},
    {"user.verify_email", "Confirm your e-mail address for", say_verify_email},
    {"user.password_reset", "A new password for", say_password_reset},
};

/* ---- from whom, to whom ---- */

/* Where the shop writes from. Unless the settings name an address it is one that nobody reads, of the public
 * URL's domain; an address in numbers is none that a mail can come from. */
static struct slice sender_address(struct arena *arena, const struct config *config)
{
    if (config->mail_from.len > 0)
        return config->mail_from;
    struct slice rest = config->public_url;
    struct slice host;
    for (int slashes = 0; slashes < 2 && slice_split(&rest, '/', &host); slashes++)
        ;
    if (!slice_split(&rest, '/', &host) || host.len == 0 || host.ptr[0] == '[')
        return SLICE("no-reply@localhost");
    rest = host;
    (void)slice_split(&rest, ':', &host);
    bool is_name = false;
    for (size_t i = 0; i < host.len; i++)
        is_name = is_name || (host.ptr[i] != '.' && (host.ptr[i] < '0' || host.ptr[i] > '9'));
    struct slice address = arena_format(arena, "no-reply@%.*s", SLICE_ARG(host));
    return is_name && mail_address_is_sane(address) ? address : SLICE("no-reply@localhost");
}

/* "20260131T123456Z-17-order.placed": ids alone come again when the table was emptied, and files sort by
 * time. */
static struct slice mail_key(struct arena *arena, const struct outbox_message *message)
{
    char at[CLOCK_RFC3339_LEN];
    clock_format_rfc3339(message->created_at_ms, at);
    return arena_format(arena, "%.4s%.2s%.3s%.2s%.2s%.2sZ-%lld-%.*s", at, at + 5, at + 8, at + 11, at + 14,
                        at + 17, (long long)message->id, SLICE_ARG(message->topic));
}

/* Everything but subject and body. MESSAGE_MOOT when the address is none that mail can go to. */
static enum message_result address_mail(struct letter *letter, struct slice name, struct slice address)
{
    struct arena *arena = letter->step->arena;
    if (!mail_address_is_sane(address) || user_email_is_placeholder(address))
        return MESSAGE_MOOT;
    *letter->mail = (struct mail){
        .key = mail_key(arena, letter->message),
        .date_ms = letter->message->created_at_ms,
        .from = {letter->settings.store_name, sender_address(arena, letter->step->services->config)},
        .to = {name, address},
    };
    buf_format(&letter->body, "Hello%s%.*s,\n\n", name.len > 0 ? " " : "", SLICE_ARG(name));
    return MESSAGE_READY;
}

static void sign(struct letter *letter)
{
    buf_format(&letter->body, "\n-- \n%.*s\n%.*s/store/\n", SLICE_ARG(letter->settings.store_name),
               SLICE_ARG(letter->step->services->config->public_url));
}

/* ---- making ---- */

static enum message_result order_letter(struct letter *letter, const struct order_topic *topic)
{
    struct arena *arena = letter->step->arena;
    struct uuid order_id;
    if (!uuid_parse(member_text(letter->payload, "orderId"), &order_id))
        return fail(letter, "the message names no order");
    enum db_result result = order_read(letter->step->db, arena, order_id, &letter->order);
    if (result != DB_ROW)
        return result == DB_DONE ? MESSAGE_MOOT : fail(letter, "the order cannot be read");
    enum message_result made = address_mail(letter, order_customer(letter), letter->order.email);
    if (made != MESSAGE_READY)
        return made;
    letter->mail->subject =
        arena_format(arena, "%s %.*s", topic->subject, SLICE_ARG(letter->order.order_number));
    topic->say(letter);
    write_order(letter);
    return MESSAGE_READY;
}

DB_STATEMENT(ADDRESSEE_READ) = {
    .sql = "SELECT email, first_name, last_name FROM users"
           " WHERE id = $1 AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT},
};

static enum message_result user_letter(struct letter *letter, const struct user_topic *topic)
{
    struct arena *arena = letter->step->arena;
    if (!uuid_parse(member_text(letter->payload, "userId"), &letter->user_id))
        return fail(letter, "the message names no user");
    struct db_rows *rows = db_query(letter->step->db, &ADDRESSEE_READ, DB_ARGS(db_uuid(letter->user_id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result == DB_DONE ? MESSAGE_MOOT : fail(letter, "the user cannot be read");
    struct slice email = db_copy_text(rows, 0, arena);
    struct slice name = slice_trim(
        arena_format(arena, "%.*s %.*s", SLICE_ARG(db_get_text(rows, 1)), SLICE_ARG(db_get_text(rows, 2))));
    db_close(rows);
    enum message_result made = address_mail(letter, name, email);
    if (made != MESSAGE_READY)
        return made;
    letter->mail->subject =
        arena_format(arena, "%s %.*s", topic->subject, SLICE_ARG(letter->settings.store_name));
    return topic->say(letter) ? MESSAGE_READY
                              : fail(letter, "the sealed token does not open under this SOUK_SECRET");
}

static enum message_result letter_make(struct letter *letter)
{
    if (shop_settings_read(letter->step->db, letter->step->arena, &letter->settings) != DB_DONE)
        return fail(letter, "the settings cannot be read");
    for (size_t i = 0; i < COUNT_OF(ORDER_TOPICS); i++) {
        if (slice_is(letter->message->topic, ORDER_TOPICS[i].topic))
            return order_letter(letter, &ORDER_TOPICS[i]);
    }
    for (size_t i = 0; i < COUNT_OF(USER_TOPICS); i++) {
        if (slice_is(letter->message->topic, USER_TOPICS[i].topic))
            return user_letter(letter, &USER_TOPICS[i]);
    }
    return fail(letter, "no mail is written for this topic"); /* a newer souk beside this one may know it */
}

enum message_result message_make(const struct step *step, const struct outbox_message *message,
                                 struct mail *mail, struct slice *why)
{
    struct letter letter = {.step = step, .message = message, .mail = mail};
    buf_init(&letter.body, step->arena);
    letter.payload = json_loadb(message->payload.ptr, message->payload.len, 0, NULL);
    enum message_result made =
        letter.payload == NULL ? fail(&letter, "the payload is no JSON") : letter_make(&letter);
    json_decref(letter.payload);
    if (made == MESSAGE_READY) {
        sign(&letter);
        mail->body = buf_slice(&letter.body);
        if (letter.body.overflow)
            made = fail(&letter, "the mail is too long");
    }
    *why = letter.why;
    return made;
}
