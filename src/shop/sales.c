/* The metrics of what is sold, one for each currency that the shop has sold in since the start. */
#include "shop/sales.h"

#include <pthread.h>
#include <stdio.h>

METRIC_FAMILY(VALUE, "souk_order_value_minor_total", "Totals of the orders placed, in minor units",
              "currency=\"\"", METRIC_COUNTER);

struct sales {
    char label[32]; /* currency="USD" */
    struct metric value;
};

static struct sales known[SALES_CURRENCIES_MAX + 1];
static size_t known_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Under the lock. */
static struct sales *find_or_add(const char *label)
{
    for (size_t i = 0; i < known_count; i++) {
        if (strcmp(known[i].label, label) == 0)
            return &known[i];
    }
    struct sales *sales = &known[known_count++];
    snprintf(sales->label, sizeof(sales->label), "%s", label);
    sales->value = metric_of_family(&VALUE, sales->label);
    return sales;
}

struct metric *sales_value(struct slice currency)
{
    char label[sizeof(known[0].label)];
    snprintf(label, sizeof(label), "currency=\"%.*s\"", SLICE_ARG(currency));
    pthread_mutex_lock(&lock);
    bool is_known = known_count < SALES_CURRENCIES_MAX;
    for (size_t i = 0; i < known_count; i++)
        is_known = is_known || strcmp(known[i].label, label) == 0;
    struct sales *sales = find_or_add(is_known ? label : "currency=\"other\"");
    pthread_mutex_unlock(&lock);
    return &sales->value;
}
