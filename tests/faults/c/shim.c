/* Preloaded into the engine alone: numbers every call by which it changes the store or tells of it,
 * and does one thing at the call with the number RIG_AT. The programs that the engine starts do not
 * inherit it. Calls that go to the kernel without the C library are not seen: reserving space.
 *
 * RIG_STORE   folder whose files count
 * RIG_COUNTS  file that is mapped: number of calls, class of the call hit plus one, calls by class
 * RIG_ACTION  none | kill | torn | eio | enospc | short, and perhaps a planted bug: +late | +nosync,
 *             or a file system that has no locks: +nolock
 * RIG_AT      number of the call, from 1
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum class { WRITE, SYNC, RENAME, LINK, CREATE, TRUNCATE, UNLINK, MKDIR, RANGE, TELL, CLASSES };
enum action { NONE, KILL, TORN, FAIL_IO, FULL, SHORT };
/* What is to be done with the call at hand. */
enum verdict { PASS, HALF, HALF_AND_DIE, REFUSE };

static struct counts { _Atomic uint64_t calls, hit, by_class[CLASSES]; } *counts;
static char store[PATH_MAX];
static size_t store_len;
static enum action action;
static uint64_t at;
static int plant_late, plant_nosync, plant_nolock;

static void die(void) { for (;;) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); }

static int inside(const char *path) {
    return counts && path && strncmp(path, store, store_len) == 0
        && (path[store_len] == '/' || path[store_len] == 0);
}

static int path_of(int fd, char *path) {
    char link[48];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return path[0] == '/';
}

static int fd_inside(int fd) {
    char path[PATH_MAX];
    return counts && path_of(fd, path) && inside(path);
}

static int takes_room(enum class c) {
    return c == WRITE || c == LINK || c == CREATE || c == MKDIR;
}

static enum verdict pass(enum class c) {
    uint64_t n = atomic_fetch_add(&counts->calls, 1) + 1;
    atomic_fetch_add(&counts->by_class[c], 1);
    if (action == NONE || at == 0 || n < at) return PASS;
    int deadly = action == KILL || action == TORN;
    if (c == TELL && !deadly) return PASS;
    if (action == SHORT && c != WRITE) return PASS;
    uint64_t none = 0;
    int first = atomic_compare_exchange_strong(&counts->hit, &none, (uint64_t)c + 1);
    /* A full disk stays full; all else happens once. */
    if (!first && !(action == FULL && takes_room(c))) return PASS;
    switch (action) {
    case KILL: die(); break;
    case TORN: if (c == WRITE || c == TELL) return HALF_AND_DIE; die(); break;
    case FAIL_IO: errno = EIO; return REFUSE;
    case FULL: errno = ENOSPC; return REFUSE;
    default: return HALF;
    }
    return PASS;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* The planted bug `late`: what is written to a journal arrives 20 ms later. */
struct held { struct held *next; int fd; off_t offset; size_t size; char bytes[]; };
static struct held *first_held, **last_held = &first_held;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void release(void) {
    pthread_mutex_lock(&lock);
    for (struct held *h = first_held, *next; h; h = next) {
        next = h->next;
        if (syscall(SYS_pwrite64, h->fd, h->bytes, h->size, h->offset) < 0) abort();
        close(h->fd);
        free(h);
    }
    first_held = NULL;
    last_held = &first_held;
    pthread_mutex_unlock(&lock);
}

static void *release_later(void *unused) {
    for (;;) { usleep(20000); release(); }
    return unused;
}

static int hold(int fd, const void *bytes, size_t size, off_t offset) {
    char path[PATH_MAX];
    size_t n = path_of(fd, path) ? strlen(path) : 0;
    if (n < 8 || strcmp(path + n - 8, "/journal") != 0) return 0;
    struct held *h = malloc(sizeof *h + size);
    if (!h) abort();
    *h = (struct held){ NULL, dup(fd), offset, size };
    memcpy(h->bytes, bytes, size);
    pthread_mutex_lock(&lock);
    *last_held = h;
    last_held = &h->next;
    pthread_mutex_unlock(&lock);
    return 1;
}

__attribute__((constructor)) static void begin(void) {
    const char *s = getenv("RIG_STORE"), *c = getenv("RIG_COUNTS"), *a = getenv("RIG_ACTION"), *n = getenv("RIG_AT");
    unsetenv("LD_PRELOAD");
    if (!s || !c || !a) return;
    snprintf(store, sizeof store, "%s", s);
    store_len = strlen(store);
    static const char *names[] = { "none", "kill", "torn", "eio", "enospc", "short" };
    for (int i = 0; i < 6; i++) if (!strncmp(a, names[i], strlen(names[i]))) action = (enum action)i;
    plant_late = strstr(a, "late") != NULL;
    plant_nosync = strstr(a, "nosync") != NULL;
    plant_nolock = strstr(a, "nolock") != NULL;
    at = n ? strtoull(n, NULL, 10) : 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, c, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || syscall(SYS_ftruncate, fd, sizeof *counts) < 0) abort();
    void *map = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (map == MAP_FAILED) abort();
    pthread_t thread;
    if (plant_late && pthread_create(&thread, NULL, release_later, NULL)) abort();
    counts = map;
    unsetenv("RIG_STORE"); unsetenv("RIG_COUNTS"); unsetenv("RIG_ACTION"); unsetenv("RIG_AT");
}

__attribute__((destructor)) static void end(void) { if (plant_late) release(); }

#define WRITES(fd, half_call, whole_call) \
    if (counts && ((fd) == 1 || fd_inside(fd))) { \
        switch (pass((fd) == 1 ? TELL : WRITE)) { \
        case REFUSE: return -1; \
        case HALF: if (size > 1) return half_call; break; \
        case HALF_AND_DIE: if (half_call < 0) abort(); die(); break; \
        default: break; \
        } \
    } \
    return whole_call

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    WRITES(fd, real(fd, bytes, size / 2), real(fd, bytes, size));
}

static ssize_t pwrite_or_hold(int fd, const void *bytes, size_t size, off_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    if (plant_late && hold(fd, bytes, size, offset)) return (ssize_t)size;
    return real(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
    WRITES(fd, pwrite_or_hold(fd, bytes, size / 2, offset), pwrite_or_hold(fd, bytes, size, offset));
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) { return pwrite64(fd, bytes, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    size_t size = count > 0 ? parts[0].iov_len : 0;
    WRITES(fd, write(fd, parts[0].iov_base, size / 2), real(fd, parts, count));
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    WRITES(out, real(in, from, out, to, size / 2, flags), real(in, from, out, to, size, flags));
}

#define GUARD(is_inside, kind) if ((is_inside) && pass(kind) == REFUSE) return -1

int fsync(int fd) {
    REAL(int, "fsync", int);
    GUARD(fd_inside(fd), SYNC);
    return plant_nosync ? 0 : real(fd);
}
int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    GUARD(fd_inside(fd), SYNC);
    return plant_nosync ? 0 : real(fd);
}
int sync_file_range(int fd, off64_t from, off64_t size, unsigned flags) {
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned);
    GUARD(fd_inside(fd), RANGE);
    return plant_nosync ? 0 : real(fd, from, size, flags);
}
int flock(int fd, int operation) {
    REAL(int, "flock", int, int);
    if (plant_nolock && fd_inside(fd)) { errno = ENOLCK; return -1; }
    return real(fd, operation);
}
int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    GUARD(fd_inside(fd), TRUNCATE);
    if (plant_late) release();
    return real(fd, size);
}
int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    GUARD(inside(to), RENAME);
    return real(from, to);
}
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    GUARD(inside(to), LINK);
    return real(from_dir, from, to_dir, to, flags);
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    GUARD(inside(path), UNLINK);
    return real(path);
}
int unlinkat(int dir, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    GUARD(counts && (path[0] == '/' ? inside(path) : fd_inside(dir)), UNLINK);
    return real(dir, path, flags);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    GUARD(inside(path), MKDIR);
    return real(path, mode);
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    MODE_OF(flags)
    GUARD((flags & O_CREAT) && inside(path), CREATE);
    return real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    MODE_OF(flags)
    return open64(path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    MODE_OF(flags)
    GUARD((flags & O_CREAT) && counts && (path[0] == '/' ? inside(path) : fd_inside(dir)), CREATE);
    return real(dir, path, flags, mode);
}
