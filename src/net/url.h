/* Addresses that souk itself calls. Parsed by libcurl, as the call will be, so that no two readings of one
 * text can differ. */
#pragma once

#include "base/slice.h"

#define URL_BYTES_MAX 2048

/* Where an outgoing HTTP call may go: https://, or http:// to this machine; with a host, without a user, a
 * fragment, white space or control characters. NULL when it may, else the rule that it breaks ("must ...").
 */
const char *url_http_rule(struct slice url);
/* The same, and http:// also to the addresses where ECS and EKS hand a container its credentials
 * (169.254.170.2, 169.254.170.23, fd00:ec2::23): they are the machine's own. */
const char *url_credentials_rule(struct slice url);
/* Whether a host is this machine whatever the network says: localhost, 127.0.0.0/8, ::1. */
bool url_host_is_loopback(struct slice host);
