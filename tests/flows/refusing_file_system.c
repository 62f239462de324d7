/* Makes system calls fail for files below $REFUSE_BELOW. REFUSE_FSYNC, REFUSE_LINK, REFUSE_RENAME2, REFUSE_FLOCK and
   REFUSE_RENAME have the number of the error; the last one is returned $REFUSE_TIMES times, the others always. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int times_left = -1;

static int refused(int descriptor, const char *variable) {
    const char *number = getenv(variable), *below = getenv("REFUSE_BELOW");
    char link[64], path[4096];
    if (!number || !*number || !below) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below))) return 0;
    errno = atoi(number);
    return 1;
}

int fsync(int descriptor) {
    if (refused(descriptor, "REFUSE_FSYNC")) return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int flock(int descriptor, int operation) {
    if (refused(descriptor, "REFUSE_FLOCK")) return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}

int linkat(int from, const char *source, int to, const char *target, int flags) {
    if (refused(from, "REFUSE_LINK")) return -1;
    return ((int (*)(int, const char *, int, const char *, int))dlsym(RTLD_NEXT, "linkat"))(from, source, to, target, flags);
}

int renameat2(int from, const char *source, int to, const char *target, unsigned flags) {
    if (refused(from, "REFUSE_RENAME2")) return -1;
    return ((int (*)(int, const char *, int, const char *, unsigned))dlsym(RTLD_NEXT, "renameat2"))(from, source, to, target, flags);
}

int renameat(int from, const char *source, int to, const char *target) {
    if (refused(from, "REFUSE_RENAME")) {
        if (times_left < 0) times_left = atoi(getenv("REFUSE_TIMES") ? getenv("REFUSE_TIMES") : "1000000");
        if (times_left > 0) { times_left--; return -1; }
    }
    return ((int (*)(int, const char *, int, const char *))dlsym(RTLD_NEXT, "renameat"))(from, source, to, target);
}
