/* Tells the service manager how the service is (systemd's sd_notify protocol, sd_notify(3)): a datagram of
 * NAME=value lines to the socket that NOTIFY_SOCKET names. Written here because it is ten lines and
 * libsystemd is a library more to carry. */
#pragma once

#include "base/slice.h"

/* Sends `state` ("READY=1"). True as well without NOTIFY_SOCKET: then nobody asked. False: the socket cannot
 * be reached, with errno; the service goes on all the same. Does not block for longer than a datagram's
 * queueing. */
bool notify_manager(struct slice state);
