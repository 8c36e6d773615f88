/* The mail driver of a shop without a mail server: each mail is a file that mail programs open. */
#include "jobs/mail.h"

#include "base/check.h"

#include <dirent.h>
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

/* ---- forgetting ---- */

#define HEAD_BYTES_MAX 16384 /* of a mail that mail_render wrote; nothing longer has been */

/* The address of the header To; absent without. The line after a fold begins with a space. */
static struct slice addressee(struct slice head)
{
    static const char NAME[] = "\r\nTo:";
    const char *found = memmem(head.ptr, head.len, NAME, sizeof(NAME) - 1);
    if (found == NULL)
        return SLICE_ABSENT;
    struct slice rest = slice_skip(head, (size_t)(found - head.ptr) + sizeof(NAME) - 1);
    size_t len = 0;
    while (len + 2 < rest.len && !(rest.ptr[len] == '\r' && rest.ptr[len + 1] == '\n' &&
                                   rest.ptr[len + 2] != ' ' && rest.ptr[len + 2] != '\t'))
        len++;
    struct slice value = slice_trim((struct slice){rest.ptr, len});
    if (value.len > 0 && value.ptr[value.len - 1] == '>')
        value.len--;
    for (size_t i = value.len; i > 0; i--) {
        if (value.ptr[i - 1] == '<' || value.ptr[i - 1] == ' ')
            return slice_skip(value, i);
    }
    return value;
}

/* Whether one mail is gone, or is not to go. */
static bool forget_one(int folder, const char *name, struct arena *arena, const struct mail_chooser *chooser)
{
    char *text = arena_alloc(arena, HEAD_BYTES_MAX);
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT;
    ssize_t len = pread(file, text, HEAD_BYTES_MAX, 0);
    close(file);
    if (len < 0)
        return false;
    struct slice head = {text, (size_t)len};
    const char *end = memmem(head.ptr, head.len, "\r\n\r\n", 4);
    if (end != NULL)
        head.len = (size_t)(end - head.ptr) + 4;
    struct slice address = addressee(head);
    if (slice_is_absent(address) || !chooser->is_chosen(chooser, arena, address))
        return true;
    return unlinkat(folder, name, 0) == 0 || errno == ENOENT;
}

static bool mailer_file_forget(struct mailer *mailer, struct arena *arena, const struct mail_chooser *chooser,
                               struct slice *why)
{
    const struct mailer_file *self = (const struct mailer_file *)mailer;
    struct slice path = arena_format(arena, "%.*s/mail", SLICE_ARG(self->data_directory));
    DIR *folder = opendir(path.ptr);
    if (folder == NULL && errno == ENOENT)
        return true; /* none was ever sent */
    bool is_done = folder != NULL;
    for (struct dirent *entry; is_done && (entry = readdir(folder)) != NULL;) {
        struct slice name = slice_from(entry->d_name);
        size_t mark = arena_mark(arena);
        if (name.len > 4 && slice_is(slice_skip(name, name.len - 4), ".eml"))
            is_done = forget_one(dirfd(folder), entry->d_name, arena, chooser);
        arena_rewind(arena, mark);
    }
    is_done = is_done && fsync(dirfd(folder)) == 0;
    if (!is_done)
        (void)fail(arena, why, "mail cannot be removed");
    if (folder != NULL)
        closedir(folder);
    return is_done;
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
    self->base = (struct mailer){
        .send = mailer_file_send, .forget = mailer_file_forget, .release = mailer_file_release};
    self->data_directory = config->data_directory;
    return &self->base;
}
