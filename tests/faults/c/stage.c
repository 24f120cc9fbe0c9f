/* The program behind every node of the rig's workflows, and the rig's tool for cutting the power.
 *
 * stage work SIZE MILLISECONDS    notes its start, sleeps, writes SIZE bytes that depend on its inputs, notes its end
 * stage fail                      notes its start and fails
 * stage act SIZE MILLISECONDS     as work, and acts on the world in the middle
 * stage probe SIZE                whether the act of this idempotency key happened
 * stage daemon SIZE MILLISECONDS  as work, and leaves a process in a session of its own behind
 * stage list COUNT                a JSON list
 * stage cut FOLDER                ends a file system as a power cut would: what was not synced is lost
 *
 * RIG_LEDGER is the file of notes, one write each; RIG_LOCKS a folder with one lock per task, which
 * whatever descends from an attempt holds while it lives.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char task[256];
static uint64_t hash = 1469598103934665603u;

static void mix(const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

/* Beside a folder of files stands their list with paths, which differ from attempt to attempt. */
static int lists_files(const char *path) {
    char folder[4096];
    size_t n = strlen(path);
    if (n < 5 || strcmp(path + n - 5, ".json")) return 0;
    snprintf(folder, sizeof folder, "%.*s", (int)n - 5, path);
    return access(folder, F_OK) == 0;
}

static void mix_tree(const char *path) {
    struct stat meta;
    if (stat(path, &meta) || lists_files(path)) return;
    mix(path, strlen(path));
    if (S_ISDIR(meta.st_mode)) {
        struct dirent **names;
        int count = scandir(path, &names, NULL, alphasort);
        for (int i = 0; i < count; i++) {
            char inner[4096];
            if (names[i]->d_name[0] == '.') continue;
            snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
            mix_tree(inner);
        }
        return;
    }
    FILE *file = fopen(path, "r");
    if (!file) exit(9);
    static char block[65536];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) mix(block, n);
    fclose(file);
}

static const char *env(const char *name) { const char *value = getenv(name); return value && *value ? value : "-"; }

static void note(char what) {
    char line[1024];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int n = snprintf(line, sizeof line, "%c %s %s %d %lld %s\n", what, task, env("FLOW_ATTEMPT"), (int)getpid(),
        (long long)now.tv_sec * 1000000000 + now.tv_nsec, env("FLOW_IDEMPOTENCY_KEY"));
    int fd = open(env("RIG_LEDGER"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, n) != n) exit(8);
    close(fd);
}

static void hold_task(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", env("RIG_LOCKS"), task);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) exit(8);
    if (flock(fd, LOCK_EX | LOCK_NB)) note('O');
}

static void put(size_t size) {
    static char block[4096];
    uint64_t state = hash | 1;
    while (size > 0) {
        size_t n = size < sizeof block ? size : sizeof block;
        for (size_t i = 0; i < n; i++) {
            state ^= state << 13; state ^= state >> 7; state ^= state << 17;
            block[i] = "abcdefghijklmnopqrstuvwxyz012345"[state & 31];
        }
        if (fwrite(block, 1, n, stdout) != n) exit(8);
        size -= n;
    }
    if (fflush(stdout)) exit(8);
}

static int happened(void) {
    FILE *file = fopen(env("RIG_LEDGER"), "r");
    char line[1024], what, name[256], key[256];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%c %255s %*s %*s %*s %255s", &what, name, key) == 3 && what == 'W'
            && !strcmp(name, task) && !strcmp(key, env("FLOW_IDEMPOTENCY_KEY"))) return 1;
    return 0;
}

static void leave_daemon(void) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            close(0); close(1); close(2);
            sleep(600);
        }
        _exit(0);
    }
}

int main(int count, char **args) {
    const char *mode = count > 1 ? args[1] : "";
    long size = count > 2 ? atol(args[2]) : 0, span = count > 3 ? atol(args[3]) : 0;
    if (!strcmp(mode, "cut")) {
        int fd = open(args[2], O_RDONLY);
        __u32 without_log_flush = 2;
        return fd < 0 || ioctl(fd, _IOR('X', 125, __u32), &without_log_flush);
    }
    snprintf(task, sizeof task, getenv("FLOW_ITEM") ? "%s[%s]" : "%s", env("FLOW_NODE"), env("FLOW_ITEM"));
    mix(task, strlen(task));
    mix_tree("inputs");
    if (!strcmp(mode, "probe")) {
        note('P');
        if (!happened()) return 1;
        put(size);
        return 0;
    }
    hold_task();
    note('S');
    if (!strcmp(mode, "fail")) { note('E'); return 1; }
    if (!strcmp(mode, "daemon")) leave_daemon();
    usleep(span * 500);
    if (!strcmp(mode, "act")) note('W');
    usleep(span * 500);
    if (!strcmp(mode, "list")) {
        for (long i = 0; i < size; i++) printf("%s{\"id\":\"i%ld\",\"n\":%ld}", i ? "," : "[", i, i);
        printf("]");
    } else put(size);
    if (fflush(stdout)) return 8;
    note('E');
    return 0;
}
