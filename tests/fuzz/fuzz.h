/* What libFuzzer calls in a fuzz target. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Once, before the first input; answers 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* With each input; a crash, a leak or a failed CHECK is a finding. Answers 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
