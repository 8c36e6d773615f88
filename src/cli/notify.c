/* READY=1 and STOPPING=1 for a service manager that waits for them (Type=notify). */
#include "cli/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* NOTIFY_SOCKET is a path, or a name of Linux's abstract namespace, written with an @ for its first byte. */
static bool read_address(const char *name, struct sockaddr_un *address, socklen_t *len)
{
    size_t name_len = strlen(name);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    errno = EINVAL;
    if ((name[0] != '/' && name[0] != '@') || name_len < 2 || name_len >= sizeof(address->sun_path))
        return false;
    memcpy(address->sun_path, name, name_len);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    /* Of an abstract name every byte counts, so no NUL may follow it. */
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_len);
    return true;
}

bool notify_manager(struct slice state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len;
    if (name == NULL || name[0] == '\0')
        return true;
    if (!read_address(name, &address, &len))
        return false;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ssize_t sent = sendto(fd, state.ptr, state.len, MSG_NOSIGNAL, (const struct sockaddr *)&address, len);
    int error = errno;
    close(fd);
    errno = error;
    return sent == (ssize_t)state.len;
}
