/* Assertions stay on in release builds: a broken invariant stops the process before it can harm an order.
 * For programmer errors only; what the outside can cause is an operating error and a return value. */
#pragma once

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression) ((expression) ? (void)0 : check_failed(#expression, __FILE__, __LINE__))
/* For the end of a switch that handles every value. */
#define UNREACHABLE(why) check_failed(why, __FILE__, __LINE__)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
