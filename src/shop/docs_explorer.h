/* The files of the API explorer, bundled into the binary by tools/explorer. */
#pragma once

#include "base/slice.h"

struct docs_file {
    const char *name; /* behind /docs/; the page itself has none */
    const char *content_type;
    struct slice body;
};

extern const struct docs_file docs_files[];
extern const size_t docs_file_count;
