/* The mail driver of a shop without a mail server: each mail is a file that mail programs open. */
#include "jobs/mail.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct mailer_file {
    struct mailer base;
    struct slice data_directory; /* the configuration's: lives as long as the process */
};

static enum mail_result fail(struct arena *arena, struct slice *why, const char *what)
{
    *why = arena_format(arena, "%s: %s", what, strerror(errno));
    return MAIL_FAILED;
}

static bool make_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool write_all(int file, struct slice text)
{
    while (text.len > 0) {
        ssize_t written = write(file, text.ptr, text.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        text = slice_skip(text, (size_t)written);
    }
    return true;
}

/* A rename is durable when its folder is. */
static bool sync_folder(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return false;
    bool is_synced = fsync(folder) == 0;
    close(folder);
    return is_synced;
}

/* The text into a new file of its own, then under its name, so that nobody sees half of it. */
static bool put_file(const char *temporary, const char *path, struct slice text)
{
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    bool is_written = write_all(file, text) && fsync(file) == 0;
    is_written = close(file) == 0 && is_written;
    if (is_written && rename(temporary, path) == 0)
        return true;
    int reason = errno;
    unlink(temporary);
    errno = reason;
    return false;
}

static enum mail_result mailer_file_send(struct mailer *mailer, struct arena *arena, const struct mail *mail,
                                         struct slice *why)
{
    const struct mailer_file *self = (const struct mailer_file *)mailer;
    struct slice data = arena_copy(arena, self->data_directory);
    struct slice folder = arena_format(arena, "%.*s/mail", SLICE_ARG(data));
    struct buf text;
    buf_init(&text, arena);
    mail_render(&text, mail, MAIL_8BIT);
    if (text.overflow) {
        *why = SLICE("the mail is too long");
        return MAIL_REFUSED;
    }
    for (size_t i = 0; i < mail->key.len; i++)
        CHECK(mail->key.ptr[i] != '/' && mail->key.ptr[i] != '\0');
    CHECK(mail->key.len > 0 && mail->key.ptr[0] != '.');
    if (!make_folder(data.ptr) || !make_folder(folder.ptr))
        return fail(arena, why, "the folder for mail cannot be made");
    /* The process id, because two processes may meet on one mail when one of them was very slow. */
    struct slice temporary =
        arena_format(arena, "%.*s/.%.*s.%lld", SLICE_ARG(folder), SLICE_ARG(mail->key), (long long)getpid());
    struct slice path = arena_format(arena, "%.*s/%.*s.eml", SLICE_ARG(folder), SLICE_ARG(mail->key));
    if (!put_file(temporary.ptr, path.ptr, buf_slice(&text)) || !sync_folder(folder.ptr))
        return fail(arena, why, "the mail cannot be written");
    return MAIL_SENT;
}

static void mailer_file_release(struct mailer *mailer)
{
    free(mailer);
}

struct mailer *mailer_file_new(const struct config *config)
{
    struct mailer_file *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return NULL;
    self->base = (struct mailer){.send = mailer_file_send, .release = mailer_file_release};
    self->data_directory = config->data_directory;
    return &self->base;
}
