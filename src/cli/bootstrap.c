/* The binary of an AWS Lambda function: `souk` with the few commands that have a use there. Lambda starts it
 * without a word behind it, which is `souk lambda`. */
#include "cli/commands.h"
#include "cli/run.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

/* The authorities of Amazon Linux 2023; Debian's libraries would look elsewhere. */
#define CA_FILE "/etc/pki/tls/certs/ca-bundle.crt"

/* clang-format off */
static const struct cli_command *const COMMANDS[] = {
    &command_lambda,
    &command_migrate_status,
    &command_config,
    &command_version,
    NULL,
};
/* clang-format on */

int main(int argc, char **argv)
{
    if (access(CA_FILE, R_OK) == 0)
        (void)setenv("SSL_CERT_FILE", CA_FILE, 0);
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL); /* the image has no openssl.cnf for it */
    return cli_run(COMMANDS, argc, argv);
}
