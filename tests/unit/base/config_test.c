/* config.h: precedence, every kind's rule, .env and its errors, the secret's file, and what is printed. */
#include "base_test.h"

#include "base/config.h"
#include "base/crypto.h"
#include "base/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define GOOD_SECRET "0123456789abcdef0123456789abcdef"
#define SECRET_VARIABLE "SOUK_SECRET=0123456789abcdef0123456789abcdef"

static struct arena arena;
static struct config config;
static struct slice complaint;
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    crypto_start();
    strcpy(folder, "/tmp/souk-config-test-XXXXXX");
    return arena_init(&arena, (size_t)4 << 20) && mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static bool load(const char *const *environment, const char *env_file)
{
    const struct config_sources sources = {.environment = (char *const *)(uintptr_t)environment,
                                           .env_file = slice_from(env_file)};
    return config_load_sources(&config, &arena, &sources, &complaint);
}

static bool load_flag(const char *name, const char *value, const char *const *environment,
                      const char *env_file)
{
    struct config_flag flag = {slice_from(name), slice_from(value)};
    const struct config_sources sources = {.flags = &flag,
                                           .flag_count = 1,
                                           .environment = (char *const *)(uintptr_t)environment,
                                           .env_file = slice_from(env_file)};
    return config_load_sources(&config, &arena, &sources, &complaint);
}

#define ENVIRONMENT(...) ((const char *const[]){__VA_ARGS__, NULL})

static void has_its_defaults(void **state)
{
    (void)state;
    assert_true(load(NULL, NULL));
    assert_absent(complaint);
    assert_text(config.data_directory, "./data");
    assert_text(config.database_url, "sqlite:./data/souk.db");
    assert_absent(config.secret);
    assert_text(config.listen, "127.0.0.1:8080");
    assert_text(config.public_url, "http://127.0.0.1:8080");
    assert_int_equal(config.io_threads, 0);
    assert_int_equal(config.workers, 4);
    assert_int_equal(config.connections_max, CONNECTIONS_MAX);
    assert_int_equal(config.request_timeout_ms, 10000);
    assert_int_equal(config.cache_bytes, CACHE_BYTES_DEFAULT);
    assert_true(config.rate_limit);
    assert_int_equal(config.rate_per_minute, 1000);
    assert_int_equal(config.rate_write_per_minute, 500);
    assert_int_equal(config.rate_login_per_minute, 20);
    assert_int_equal(config.rate_checkout_per_minute, 60);
    assert_int_equal(config.rate_whole_per_second, 10000);
    assert_int_equal(config.rate_whole_burst, 20000);
    assert_text(config.trusted_proxies, "");
    assert_int_equal(config.log_level, LOG_REQUEST);
    assert_true(config.migrate_at_start);
    assert_true(config.jobs);
    assert_false(config.test_payments);
    assert_int_equal(config.access_token_seconds, 900);
    assert_int_equal(config.refresh_token_seconds, 2592000);
    assert_int_equal(config.job_interval_ms, 1000);
    assert_int_equal(config.payment_timeout_ms, 5000);
}

static void reads_every_variable(void **state)
{
    (void)state;
    assert_true(load(
        ENVIRONMENT(
            "SOUK_DATA=/d/", "DATABASE_URL=postgresql://u:p@h/souk", SECRET_VARIABLE, "SOUK_LISTEN=[::1]:0",
            "SOUK_PUBLIC_URL=https://shop.example/", "SOUK_IO_THREADS=64", "SOUK_WORKERS=256",
            "SOUK_CONNECTIONS_MAX=1", "SOUK_CACHE_BYTES=0", "SOUK_RATE_LIMIT=off",
            "SOUK_RATE_PER_MINUTE=1000000", "SOUK_RATE_WRITE_PER_MINUTE=5", "SOUK_RATE_LOGIN_PER_MINUTE=6",
            "SOUK_RATE_CHECKOUT_PER_MINUTE=7", "SOUK_RATE_WHOLE_PER_SECOND=8", "SOUK_RATE_WHOLE_BURST=9",
            "SOUK_TRUSTED_PROXIES=10.0.0.0/8, ::1", "SOUK_LOG=off", "SOUK_MIGRATE=off",
            "SOUK_TEST_PAYMENTS=on", "SOUK_ACCESS_TOKEN_SECONDS=1", "SOUK_REFRESH_TOKEN_SECONDS=2",
            "SOUK_JOB_INTERVAL_MS=3", "SOUK_PAYMENT_TIMEOUT_MS=4", "PATH=/bin", "SOUK_WITHOUT_EQUALS"),
        NULL));
    assert_text(config.data_directory, "/d");
    assert_text(config.database_url, "postgresql://u:p@h/souk");
    assert_text(config.secret, GOOD_SECRET);
    assert_text(config.listen, "[::1]:0");
    assert_text(config.public_url, "https://shop.example");
    assert_int_equal(config.io_threads, 64);
    assert_int_equal(config.workers, 256);
    assert_int_equal(config.connections_max, 1);
    assert_int_equal(config.cache_bytes, 0);
    assert_false(config.rate_limit);
    assert_int_equal(config.rate_per_minute, 1000000);
    assert_int_equal(config.rate_write_per_minute, 5);
    assert_int_equal(config.rate_login_per_minute, 6);
    assert_int_equal(config.rate_checkout_per_minute, 7);
    assert_int_equal(config.rate_whole_per_second, 8);
    assert_int_equal(config.rate_whole_burst, 9);
    assert_text(config.trusted_proxies, "10.0.0.0/8, ::1");
    assert_int_equal(config.log_level, LOG_OFF);
    assert_false(config.migrate_at_start);
    assert_true(config.test_payments);
    assert_int_equal(config.access_token_seconds, 1);
    assert_int_equal(config.refresh_token_seconds, 2);
    assert_int_equal(config.job_interval_ms, 3);
    assert_int_equal(config.payment_timeout_ms, 4);
}

static void flag_beats_environment_beats_file_beats_default(void **state)
{
    (void)state;
    assert_true(load(NULL, "SOUK_LISTEN=a:1\n"));
    assert_text(config.listen, "a:1");
    assert_text(config.public_url, "http://a:1");
    assert_true(load(ENVIRONMENT("SOUK_LISTEN=b:2"), "SOUK_LISTEN=a:1"));
    assert_text(config.listen, "b:2");
    assert_true(load_flag("listen", "c:3", ENVIRONMENT("SOUK_LISTEN=b:2"), "SOUK_LISTEN=a:1"));
    assert_text(config.listen, "c:3");
    assert_text(config.public_url, "http://c:3");
    /* An empty variable is not set: what is below it counts. */
    assert_true(load(ENVIRONMENT("SOUK_LISTEN="), "SOUK_LISTEN=a:1"));
    assert_text(config.listen, "a:1");
    assert_true(load(ENVIRONMENT("SOUK_LISTEN=", "SOUK_SECRET="), "SOUK_LISTEN=\nSOUK_WORKERS=''\n"));
    assert_text(config.listen, "127.0.0.1:8080");
    assert_int_equal(config.workers, 4);
    assert_absent(config.secret);
    /* A value that is beaten is not looked at. */
    assert_true(load(ENVIRONMENT("SOUK_WORKERS=9"), "SOUK_WORKERS=many"));
    assert_int_equal(config.workers, 9);
}

static void data_folder_names_the_database(void **state)
{
    (void)state;
    assert_true(load_flag("data", "/shop//", NULL, NULL));
    assert_text(config.data_directory, "/shop");
    assert_text(config.database_url, "sqlite:/shop/souk.db");
    assert_true(load_flag("data", "/shop", ENVIRONMENT("SOUK_DATA=/other"), NULL));
    assert_text(config.database_url, "sqlite:/shop/souk.db");
    assert_true(load_flag("data", "/shop", ENVIRONMENT("DATABASE_URL=sqlite:/x.db"), NULL));
    assert_text(config.data_directory, "/shop");
    assert_text(config.database_url, "sqlite:/x.db");
    assert_true(load_flag("data", "/shop", NULL, "DATABASE_URL=postgres://h/x"));
    assert_text(config.database_url, "postgres://h/x");
    assert_true(load_flag("data", "/", NULL, NULL));
    assert_text(config.data_directory, "/");
}

static void takes_flags(void **state)
{
    (void)state;
    bool takes_value = false;
    assert_true(config_flag_find(SLICE("data"), &takes_value));
    assert_true(takes_value);
    assert_true(config_flag_find(SLICE("listen"), &takes_value));
    assert_true(takes_value);
    assert_true(config_flag_find(SLICE("no-jobs"), &takes_value));
    assert_false(takes_value);
    assert_false(config_flag_find(SLICE("secret"), &takes_value));
    assert_true(load_flag("no-jobs", "", NULL, NULL));
    assert_false(config.jobs);
    assert_true(load_flag("no-jobs", NULL, NULL, NULL));
    assert_false(config.jobs);

    struct config_flag twice[] = {{SLICE("listen"), SLICE("a:1")}, {SLICE("listen"), SLICE("b:2")}};
    assert_true(config_load_sources(&config, &arena,
                                    &(struct config_sources){.flags = twice, .flag_count = 2}, &complaint));
    assert_text(config.listen, "b:2");

    assert_false(load_flag("lisen", "a:1", NULL, NULL));
    assert_text(complaint, "command line: there is no flag --lisen");
    assert_false(load_flag("listen", "", NULL, NULL));
    assert_text(complaint, "command line: --listen needs a value");
    assert_false(load_flag("no-jobs", "yes", NULL, NULL));
    assert_text(complaint, "command line: --no-jobs takes no value");
    assert_false(load_flag("listen", "nowhere", NULL, NULL));
    assert_text(complaint, "--listen must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, not 'nowhere'");
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *complaint;
    } ROWS[] = {
        {"SOUK_WORKERS=0", "SOUK_WORKERS (environment) must be a whole number from 1 to 256, not '0'"},
        {"SOUK_WORKERS=257", "SOUK_WORKERS (environment) must be a whole number from 1 to 256, not '257'"},
        {"SOUK_WORKERS=4.0", "SOUK_WORKERS (environment) must be a whole number from 1 to 256, not '4.0'"},
        {"SOUK_WORKERS= 4", "SOUK_WORKERS (environment) must be a whole number from 1 to 256, not ' 4'"},
        {"SOUK_CACHE_BYTES=-1",
         "SOUK_CACHE_BYTES (environment) must be a whole number from 0 to 1099511627776, not '-1'"},
        {"SOUK_RATE_LIMIT=true", "SOUK_RATE_LIMIT (environment) must be on or off, not 'true'"},
        {"SOUK_TEST_PAYMENTS=ON", "SOUK_TEST_PAYMENTS (environment) must be on or off, not 'ON'"},
        {"SOUK_LOG=verbose",
         "SOUK_LOG (environment) must be off, error, warn, request, info or debug, not 'verbose'"},
        {"SOUK_LOG=a\nb\x1b[0m",
         "SOUK_LOG (environment) must be off, error, warn, request, info or debug, not 'a?b?[0m'"},
        {"DATABASE_URL=mysql://u:hunter2@h/x",
         "DATABASE_URL (environment) must be sqlite:PATH or postgresql://..."},
        {"DATABASE_URL=sqlite:", "DATABASE_URL (environment) must be sqlite:PATH or postgresql://..."},
        {"SOUK_SECRET=0123456789abcdef0123456789abcde",
         "SOUK_SECRET (environment) must have 32 characters or more"},
        {"SOUK_PUBLIC_URL=shop.example",
         "SOUK_PUBLIC_URL (environment) must start with http:// or https:// and name a host, not 'shop.example'"},
        {"SOUK_PUBLIC_URL=http://",
         "SOUK_PUBLIC_URL (environment) must start with http:// or https:// and name a host, not 'http://'"},
        {"SOUK_PUBLIC_URL=https://h:",
         "SOUK_PUBLIC_URL (environment) must start with http:// or https:// and name a host, not 'https://h:'"},
        {"SOUK_TRUSTED_PROXIES=10.0.0.0/8,all",
         "SOUK_TRUSTED_PROXIES (environment) must be addresses or networks, such as 10.0.0.0/8 or 2001:db8::/32,"
         " with commas between them, not '10.0.0.0/8,all'"},
        {"SOUK_RATE_WHOLE_BURST=0",
         "SOUK_RATE_WHOLE_BURST (environment) must be a whole number from 1 to 10000000, not '0'"},
        {"SOUK_DATA=a\x7f", "SOUK_DATA (environment) must not hold control characters, not 'a?'"},
        {"SOUK_DATA=a\tb", "SOUK_DATA (environment) must not hold control characters, not 'a?b'"},
        {"SOUK_WORKER=4", "environment: there is no setting SOUK_WORKER; `souk config` lists them all"},
        {"SOUK_=", "environment: there is no setting SOUK_; `souk config` lists them all"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_false(load(ENVIRONMENT(ROWS[i].variable), NULL));
        assert_text(complaint, ROWS[i].complaint);
    }
    assert_false(load(NULL, "# souk\n\nSOUK_WORKERS=no\n"));
    assert_text(complaint, "SOUK_WORKERS (.env line 3) must be a whole number from 1 to 256, not 'no'");
}

static void knows_addresses(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"127.0.0.1:8080", "localhost:1", "0.0.0.0:65535", "[::]:80", "x:0"};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++)
        assert_true(load_flag("listen", GOOD[i], NULL, NULL));
    static const char *const BAD[] = {
        "8080",         ":8080",  "localhost", "localhost:",  "localhost:65536",
        "localhost:-1", "::1:80", "[::1]",     "http://x:80", "a b:80",
        "x:080000",     "x:8o",   "[]:80",     ":",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_false(load_flag("listen", BAD[i], NULL, NULL));
}

static void reads_env_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *directory;
    } ROWS[] = {
        {"SOUK_DATA=/a", "/a"},
        {"\xef\xbb\xbfSOUK_DATA=/a\r\n", "/a"},
        {"# comment\n\n   # another\nOTHER=1\nexport OTHER2=x\nexport SOUK_DATA=/a\n", "/a"},
        {"  SOUK_DATA=  /a b  \t\n", "/a b"},
        {"SOUK_DATA=/a # comment", "/a"},
        {"SOUK_DATA=/a#b", "/a#b"},
        {"SOUK_DATA=/a# b", "/a# b"},
        {"SOUK_DATA='/a # $x \\n' # comment", "/a # $x \\n"},
        {"SOUK_DATA=\"/a \\\"b\\\" \\\\ \\$x\"", "/a \"b\" \\ $x"},
        {"SOUK_DATA=/a=b", "/a=b"},
        {"azAZ_09=1\nSOUK_DATA=/a", "/a"},
        {"export  SOUK_DATA=/a", "/a"},
        {"SOUK_DATA=#a", "#a"},
        {"SOUK_DATA=\"\"", "./data"},
        {"SOUK_DATA= # nothing", "./data"},
        {"", "./data"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (!load(NULL, ROWS[i].text))
            fail_msg("%s: %.*s", ROWS[i].text, SLICE_ARG(complaint));
        assert_text(config.data_directory, ROWS[i].directory);
    }
}

static void refuses_malformed_env_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *complaint;
    } ROWS[] = {
        {"SOUK_DATA", ".env line 1: it must be NAME=value"},
        {"\n\nwhat is this\n", ".env line 3: it must be NAME=value"},
        {"=x", ".env line 1: its name must be letters, digits and _, directly before the ="},
        {"SOUK_DATA =x", ".env line 1: its name must be letters, digits and _, directly before the ="},
        {"SOUK-DATA=x", ".env line 1: its name must be letters, digits and _, directly before the ="},
        {"1A=x", ".env line 1: its name must be letters, digits and _, directly before the ="},
        {"SOUK_DATA='x", ".env line 1: the quote is not closed"},
        {"SOUK_DATA=\"x\\\"", ".env line 1: the quote is not closed"},
        {"SOUK_DATA=\"x\\", ".env line 1: the quote is not closed"},
        {"SOUK_DATA='x' y", ".env line 1: something follows the closing quote"},
        {"SOUK_DATA='x'#y", ".env line 1: something follows the closing quote"},
        {"SOUK_DATA=\"\\x\"",
         ".env line 1: only \\\" \\\\ \\$ \\n \\t may follow a backslash in double quotes"},
        {"OTHER='x", ".env line 1: the quote is not closed"}, /* another program's, but no less malformed */
        {"A=1\nSOUK_DATAA=x", ".env line 2: there is no setting SOUK_DATAA; `souk config` lists them all"},
        {"SOUK_DATA=a\nSOUK_LOG=off\nSOUK_DATA=b", ".env line 3: SOUK_DATA was already set on line 1"},
        {"SOUK_LOG=\"a\\nb\\tc\"",
         "SOUK_LOG (.env line 1) must be off, error, warn, request, info or debug, not 'a?b?c'"},
        {"SOUK_SECRET=short", "SOUK_SECRET (.env line 1) must have 32 characters or more"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_false(load(NULL, ROWS[i].text));
        assert_text(complaint, ROWS[i].complaint);
    }
    char *long_file = arena_alloc(&arena, CONFIG_ENV_FILE_BYTES_MAX + 2);
    memset(long_file, '#', CONFIG_ENV_FILE_BYTES_MAX + 1);
    long_file[CONFIG_ENV_FILE_BYTES_MAX + 1] = '\0';
    assert_false(load(NULL, long_file));
    assert_text(complaint, ".env: it is longer than 65536 bytes");
    assert_true(load(NULL, long_file + 1));
}

static struct slice in_folder(const char *name)
{
    return arena_format(&arena, "%s/%s", folder, name);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void loads_from_the_process(void **state)
{
    (void)state;
    unsetenv("SOUK_TEST_POSTGRES"); /* of scripts/with-services, for other tests; no setting of souk's */
    unsetenv("SOUK_TEST_REDIS");
    char before[4096];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(folder), 0);
    write_file(".env", "SOUK_DATA=/from-file\nSOUK_WORKERS=7\n", 0600);
    assert_int_equal(setenv("SOUK_DATA", "/from-environment", 1), 0);
    assert_true(config_load(&config, &arena, &(struct config_sources){0}, &complaint));
    assert_text(config.data_directory, "/from-environment");
    assert_int_equal(config.workers, 7);
    unsetenv("SOUK_DATA");
    assert_true(config_load(&config, &arena, &(struct config_sources){0}, &complaint));
    assert_text(config.data_directory, "/from-file");
    char *long_file = arena_alloc_zero(&arena, CONFIG_ENV_FILE_BYTES_MAX + 2);
    memset(long_file, '#', CONFIG_ENV_FILE_BYTES_MAX + 1);
    write_file(".env", long_file + 1, 0600);
    assert_true(config_load(&config, &arena, &(struct config_sources){0}, &complaint));
    write_file(".env", long_file, 0600);
    assert_false(config_load(&config, &arena, &(struct config_sources){0}, &complaint));
    assert_text(complaint, ".env: it is longer than 65536 bytes");
    unlink(".env");
    assert_true(config_load(&config, &arena, &(struct config_sources){0}, &complaint));
    assert_text(config.data_directory, "./data");
    assert_int_equal(mkdir(".env", 0700), 0);
    assert_false(config_load(&config, &arena, &(struct config_sources){0}, &complaint));
    assert_text(complaint, ".env: it cannot be read: Is a directory");
    assert_int_equal(chdir(before), 0);
}

static void assert_holds_only(const char *path, const char *name)
{
    struct dirent **entries;
    assert_int_equal(scandir(path, &entries, NULL, alphasort), 3);
    assert_string_equal(entries[2]->d_name, name); /* behind . and .. */
    for (int i = 0; i < 3; i++)
        free(entries[i]);
    free(entries);
}

static void makes_the_secret_once(void **state)
{
    (void)state;
    struct slice data = in_folder("aa/bb");
    assert_true(load_flag("data", data.ptr, NULL, NULL));
    assert_int_equal(access(data.ptr, F_OK), -1); /* loading creates nothing */
    assert_true(config_secret_ensure(&config, &arena, &complaint));
    assert_int_equal(config.secret.len, 64);
    assert_int_equal(strspn(config.secret.ptr, "0123456789abcdef"), 64);
    struct stat status;
    assert_int_equal(stat(in_folder("aa/bb/secret").ptr, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, 65);
    assert_int_equal(stat(data.ptr, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(status.st_nlink, 2);
    /* Nothing else is left in the folder, and the second start reads the same. */
    assert_holds_only(folder, "aa");
    assert_holds_only(in_folder("aa").ptr, "bb");
    assert_holds_only(data.ptr, "secret");
    struct slice first = config.secret;
    assert_true(load_flag("data", data.ptr, NULL, NULL));
    assert_true(config_secret_ensure(&config, &arena, &complaint));
    assert_true(slice_equals(first, config.secret));
}

static void refuses_a_bad_secret_file(void **state)
{
    (void)state;
    const char *path = in_folder("secret").ptr;
    assert_true(load_flag("data", folder, NULL, NULL));
    static const mode_t OPEN_MODES[] = {0644, 0640, 0604, 0602, 0610};
    for (size_t i = 0; i < sizeof(OPEN_MODES) / sizeof(OPEN_MODES[0]); i++) {
        write_file(path, GOOD_SECRET, OPEN_MODES[i]);
        assert_false(config_secret_ensure(&config, &arena, &complaint));
        assert_text(complaint,
                    arena_format(&arena, "%s can be read by others (mode %04o): run chmod 600 on it", path,
                                 (unsigned)OPEN_MODES[i])
                        .ptr);
        assert_absent(config.secret);
    }
    const char *rule = arena_format(&arena, "%s must hold one line of 32 characters or more", path).ptr;
    static const char *const BAD[] = {"", "\n", "0123456789abcdef0123456789abcde\n",
                                      GOOD_SECRET "\n" GOOD_SECRET};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        write_file(path, BAD[i], 0600);
        assert_false(config_secret_ensure(&config, &arena, &complaint));
        assert_text(complaint, rule);
    }
    write_file(path, GOOD_SECRET " \r\n", 0400);
    assert_true(config_secret_ensure(&config, &arena, &complaint));
    assert_text(config.secret, GOOD_SECRET);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    config.secret = SLICE_ABSENT;
    assert_false(config_secret_ensure(&config, &arena, &complaint));
    assert_text(complaint, arena_format(&arena, "%s must be a file", path).ptr);
}

static void needs_a_folder(void **state)
{
    (void)state;
    write_file(in_folder("file").ptr, "", 0600);
    assert_true(load_flag("data", in_folder("file").ptr, NULL, NULL));
    assert_false(config_secret_ensure(&config, &arena, &complaint));
    assert_text(complaint,
                arena_format(&arena, "the data folder %s/file cannot be made: Not a directory", folder).ptr);
    assert_true(load_flag("data", in_folder("file/x").ptr, NULL, NULL));
    assert_false(config_secret_ensure(&config, &arena, &complaint));
    /* A folder in which nobody can make a file, not even root. */
    assert_true(load_flag("data", "/proc/self", NULL, NULL));
    assert_false(config_secret_ensure(&config, &arena, &complaint));
    assert_text(complaint, "/proc/self/secret cannot be made: No such file or directory");
}

/* A disk that is full in the middle of the secret, or at its first byte: no half secret may ever stand there.
 */
static void leaves_nothing_half_written(void **state)
{
    (void)state;
    assert_true(load_flag("data", in_folder("d").ptr, NULL, NULL));
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static const rlim_t LIMITS[] = {10, 0};
    static const char *const WHY[] = {"No space left on device", "File too large"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){LIMITS[i], before.rlim_max}), 0);
        bool done = config_secret_ensure(&config, &arena, &complaint);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_false(done);
        assert_text(complaint, arena_format(&arena, "%s/d/secret cannot be made: %s", folder, WHY[i]).ptr);
        assert_int_equal(rmdir(in_folder("d").ptr), 0); /* it is empty */
    }
    signal(SIGXFSZ, handler);
    assert_true(config_secret_ensure(&config, &arena, &complaint));
}

static void a_given_secret_counts(void **state)
{
    (void)state;
    assert_true(load_flag("data", in_folder("d").ptr, ENVIRONMENT(SECRET_VARIABLE), NULL));
    assert_true(config_secret_ensure(&config, &arena, &complaint));
    assert_text(config.secret, GOOD_SECRET);
    assert_int_equal(access(in_folder("d").ptr, F_OK), 0); /* the database needs it */
    assert_int_equal(access(in_folder("d/secret").ptr, F_OK), -1);
    /* PostgreSQL: no folder, but a secret that all nodes share. */
    assert_true(load_flag("data", in_folder("e").ptr, ENVIRONMENT("DATABASE_URL=postgresql://h/x"), NULL));
    assert_false(config_secret_ensure(&config, &arena, &complaint));
    assert_text(complaint, "SOUK_SECRET must be set with PostgreSQL: every node of the shop needs the same");
    assert_true(load_flag("data", in_folder("e").ptr,
                          ENVIRONMENT("DATABASE_URL=postgresql://h/x", SECRET_VARIABLE), NULL));
    assert_true(config_secret_ensure(&config, &arena, &complaint));
    assert_int_equal(access(in_folder("e").ptr, F_OK), -1);
}

#define STARTS 8

static void *start_once(void *secret)
{
    struct arena own;
    struct config started;
    struct slice wrong;
    struct config_flag flag = {SLICE("data"), slice_from(folder)};
    if (!arena_init(&own, (size_t)1 << 20))
        return NULL;
    if (config_load_sources(&started, &own, &(struct config_sources){.flags = &flag, .flag_count = 1},
                            &wrong) &&
        config_secret_ensure(&started, &own, &wrong) && started.secret.len == 64)
        memcpy(secret, started.secret.ptr, 64);
    arena_release(&own);
    return NULL;
}

static void starts_at_once_share_one_secret(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        char secrets[STARTS][64] = {{0}};
        pthread_t threads[STARTS];
        for (size_t i = 0; i < STARTS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, start_once, secrets[i]), 0);
        for (size_t i = 0; i < STARTS; i++)
            pthread_join(threads[i], NULL);
        assert_int_not_equal(secrets[0][0], 0);
        for (size_t i = 1; i < STARTS; i++)
            assert_memory_equal(secrets[0], secrets[i], 64);
        assert_int_equal(unlink(in_folder("secret").ptr), 0);
    }
}

static bool printed_has(const struct buf *out, const char *text)
{
    return memmem(out->ptr, out->len, text, strlen(text)) != NULL;
}

static void prints_without_secrets(void **state)
{
    (void)state;
    assert_true(load(ENVIRONMENT(SECRET_VARIABLE, "SOUK_LOG=off", "SOUK_DATA=/d",
                                 "DATABASE_URL=postgresql://souk:hun:ter2@db:5432/souk?password=hunter3"),
                     NULL));
    struct buf out;
    buf_init(&out, &arena);
    config_print(&config, &out);
    assert_false(printed_has(&out, "0123456789abcdef"));
    assert_false(printed_has(&out, "hun"));
    assert_false(printed_has(&out, "ter2"));
    assert_true(printed_has(
        &out,
        "DATABASE_URL = postgresql://souk:***@db:5432/souk?*** (default sqlite:/d/souk.db), from environment\n"));
    assert_true(printed_has(&out, "SOUK_SECRET = (set), from environment\n"));
    assert_true(printed_has(&out, "SOUK_DATA, --data = /d (default ./data), from environment\n"
                                  "    the folder of the database, the secret and the backups\n"));
    assert_true(printed_has(&out, "\nSOUK_LOG = off (default request), from environment\n"));
    assert_true(printed_has(&out, "\nSOUK_WORKERS = 16 (default 16)\n"));
    assert_true(printed_has(&out, "\n--no-jobs = on (default on)\n"));

    static const struct {
        const char *url;
        const char *shown;
    } URLS[] = {
        {"postgresql://h/x", "postgresql://h/x"},
        {"postgresql://u@h/x", "postgresql://u@h/x"},
        {"postgres://u:p@h", "postgres://u:***@h"},
        {"postgres://u:p@ss@h/x", "postgres://u:***@h/x"},
        {"postgresql://h:5432/x", "postgresql://h:5432/x"},
        {"postgresql:///x?host=/run&password=p", "postgresql:///x?***"},
        {"postgresql://:p@h", "postgresql://:***@h"},
        {"sqlite:/x:y@z?q", "sqlite:/x:y@z?q"},
    };
    for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
        assert_true(load(ENVIRONMENT(arena_format(&arena, "DATABASE_URL=%s", URLS[i].url).ptr), NULL));
        buf_init(&out, &arena);
        config_print(&config, &out);
        if (!printed_has(&out, arena_format(&arena, "DATABASE_URL = %s (default", URLS[i].shown).ptr))
            fail_msg("%s is printed as %.*s", URLS[i].url, SLICE_ARG(buf_slice(&out)));
    }
}

static bool load_secret(const struct config_given *secret, size_t count, const char *const *environment,
                        const char *env_file)
{
    const struct config_sources sources = {.environment = (char *const *)(uintptr_t)environment,
                                           .secret = secret,
                                           .secret_count = count,
                                           .env_file = slice_from(env_file)};
    return config_load_sources(&config, &arena, &sources, &complaint);
}

static void a_secret_stands_between_environment_and_file(void **state)
{
    (void)state;
    const struct config_given given[] = {{SLICE("SOUK_SECRET"), SLICE(GOOD_SECRET)},
                                         {SLICE("REDIS_URL"), SLICE("rediss://:hunter2@h")},
                                         {SLICE("SOUK_LISTEN"), SLICE("secret:1")},
                                         {SLICE("SOUK_LOG"), SLICE("")},
                                         {SLICE("somebody elses"), SLICE("x")}};
    struct buf out;
    assert_true(
        load_secret(given, 5, ENVIRONMENT("SOUK_LISTEN=b:2"), "REDIS_URL=redis://file\nSOUK_LOG=off"));
    assert_text(config.secret, GOOD_SECRET);
    assert_text(config.redis_url, "rediss://:hunter2@h");
    assert_text(config.listen, "b:2");
    assert_int_equal(config.log_level, LOG_OFF);
    buf_init(&out, &arena);
    config_print(&config, &out);
    assert_true(printed_has(&out, "REDIS_URL = (set), from the secret of SOUK_SECRETS_ARN\n"));
    assert_true(printed_has(&out, "SOUK_LOG = off (default request), from .env line 2\n"));
    assert_false(printed_has(&out, "hunter2"));
    /* What is wrong with it is said without its value. */
    const struct config_given wrong[] = {{SLICE("SOUK_WORKERS"), SLICE("hunter2")}};
    assert_false(load_secret(wrong, 1, NULL, NULL));
    assert_text(complaint,
                "SOUK_WORKERS (the secret of SOUK_SECRETS_ARN) must be a whole number from 1 to 256");
    const struct config_given unknown[] = {{SLICE("SOUK_SECRETS"), SLICE("hunter2")}};
    assert_false(load_secret(unknown, 1, NULL, NULL));
    assert_text(complaint, "the secret of SOUK_SECRETS_ARN: there is no setting SOUK_SECRETS; `souk config` "
                           "lists them all");
}

static void mail_goes_where_it_can(void **state)
{
    (void)state;
    assert_true(load(NULL, NULL));
    assert_int_equal(config.mail_driver, MAIL_DRIVER_FILE);
    assert_true(load(ENVIRONMENT("SOUK_SMTP_URL=smtp://localhost"), NULL));
    assert_int_equal(config.mail_driver, MAIL_DRIVER_SMTP);
    assert_true(load(ENVIRONMENT("SOUK_SMTP_URL=smtp://localhost", "SOUK_MAIL=ses"), NULL));
    assert_int_equal(config.mail_driver, MAIL_DRIVER_SES);
    assert_false(load(ENVIRONMENT("SOUK_MAIL=pigeon"), NULL));
    assert_text(complaint, "SOUK_MAIL (environment) must be file, smtp or ses, not 'pigeon'");
}

static void parts_lists_of_urls(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *urls[4];
    } LISTS[] = {
        {"", {NULL}},
        {"redis://a", {"redis://a"}},
        {"postgresql://a,b/x", {"postgresql://a,b/x"}},
        {"postgresql://a,b/x,postgres://c", {"postgresql://a,b/x", "postgres://c"}},
        {"redis://a:1, rediss://u:p@b:2", {"redis://a:1", "rediss://u:p@b:2"}},
        {"redis://a,", {"redis://a,"}},
    };
    for (size_t i = 0; i < sizeof(LISTS) / sizeof(LISTS[0]); i++) {
        struct slice rest = slice_from(LISTS[i].list);
        struct slice url;
        for (size_t k = 0; LISTS[i].urls[k] != NULL; k++) {
            assert_true(config_url_next(&rest, &url));
            if (!slice_is(url, LISTS[i].urls[k]))
                fail_msg("%s gives %.*s", LISTS[i].list, SLICE_ARG(url));
        }
        assert_false(config_url_next(&rest, &url));
    }
    assert_false(load(ENVIRONMENT("DATABASE_REPLICA_URLS=postgresql://a,mysql://b,redis://c"), NULL));
    assert_false(load(ENVIRONMENT("REDIS_URL=127.0.0.1"), NULL));
    struct buf out;
    buf_init(&out, &arena);
    assert_true(load(ENVIRONMENT("REDIS_URL=redis://:secret@a,rediss://u:word@b/1"), NULL));
    config_print(&config, &out);
    assert_true(printed_has(&out, "REDIS_URL = redis://:***@a,rediss://u:***@b/1, from environment\n"));
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(has_its_defaults),
        with_arena(reads_every_variable),
        with_arena(flag_beats_environment_beats_file_beats_default),
        with_arena(data_folder_names_the_database),
        with_arena(takes_flags),
        with_arena(names_what_is_wrong),
        with_arena(knows_addresses),
        with_arena(reads_env_files),
        with_arena(refuses_malformed_env_files),
        with_arena(loads_from_the_process),
        with_arena(makes_the_secret_once),
        with_arena(refuses_a_bad_secret_file),
        with_arena(needs_a_folder),
        with_arena(leaves_nothing_half_written),
        with_arena(a_given_secret_counts),
        with_arena(starts_at_once_share_one_secret),
        with_arena(prints_without_secrets),
        with_arena(a_secret_stands_between_environment_and_file),
        with_arena(mail_goes_where_it_can),
        with_arena(parts_lists_of_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
