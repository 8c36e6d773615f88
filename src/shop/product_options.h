/* A product's options (the choices a customer makes) and how its variants' values fit them. */
#pragma once

#include "contract/inputs.h"

/* What is wrong with a field of the request. */
struct fault {
    const char *field; /* "options[1].name", in the arena */
    const char *code;
    const char *message;
};

/* Whether names and the values of each name are unique; else *fault. */
bool product_options_check(struct arena *arena, const struct product_option_input_list *options,
                           struct fault *fault);
/* As they are stored and shown: JSON [{"name":"Size","values":["S","M"]}]. */
struct slice product_options_text(struct arena *arena, const struct product_option_input_list *options);
/* Back from there. */
struct product_option_input_list product_options_read(struct arena *arena, struct slice text);

/* A variant's values in the product's order. */
struct option_values {
    struct slice items[PRODUCT_OPTIONS_MAX];
    size_t count;
    struct slice text; /* JSON {"Size":"M"} */
};

/* Holds a variant's options (a JSON object of texts; absent is empty) against the product's: each must be
 * chosen, with one of its values, and nothing else. False with *why otherwise. */
bool option_values_fit(struct arena *arena, const struct product_option_input_list *options,
                       struct slice given, struct option_values *values, const char **why);
