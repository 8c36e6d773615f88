/* What a broken invariant does: say where, then stop at once, so that a core shows the state as it was. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *expression, const char *file, int line)
{
    /* Not through log.c: this must be seen whatever the log's level, and must not depend on state that may be
     * broken. */
    (void)dprintf(STDERR_FILENO, "souk: check failed: %s (%s:%d)\n", expression, file, line);
    abort();
}
