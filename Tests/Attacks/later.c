/* A clock that a test can set forward: preloaded into the server, it adds the nanoseconds that the
   file named by LATER holds to the clocks that count since boot. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *later;

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("LATER");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(0, sizeof *later, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) later = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && later && (clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME)) {
        long long sum = time->tv_nsec + *later % 1000000000;
        time->tv_sec += *later / 1000000000 + sum / 1000000000;
        time->tv_nsec = sum % 1000000000;
    }
    return result;
}
