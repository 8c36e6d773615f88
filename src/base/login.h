/* Who logs in somewhere. */
#pragma once

#define LOGIN_BYTES_MAX 1024 /* of each text, with its NUL */

/* To be wiped after use. */
struct login {
    char user[LOGIN_BYTES_MAX];
    char password[LOGIN_BYTES_MAX];
};
