/* Reads below Python that fail: preloaded into a process, which says by `fail_reads` which of them.
 *
 * Counted are the openings for reading, the reads and the mappings of files under a folder, by any library and thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096], bad[4096];
static int countdown, stays, seen, failures;

/* The nth read of a file in the folder fails; with `stays_bad` all further ones of this file do too. */
void fail_reads(const char *where, int nth, int stays_bad) {
  snprintf(folder, sizeof folder, "%s", where);
  bad[0] = 0;
  countdown = nth, stays = stays_bad, seen = failures = 0;
}

int reads_failed(void) { return failures; }
const char *file_failed(void) { return bad; }

static int fails_path(const char *path) {
  if (!folder[0] || strncmp(path, folder, strlen(folder)) != 0) return 0;
  int is_bad = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == countdown;
  if (is_bad) snprintf(bad, sizeof bad, "%s", path);
  if (!is_bad && !(stays && bad[0] && strcmp(bad, path) == 0)) return 0;
  __atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
  errno = EIO;
  return 1;
}

static int fails(int file) {
  if (!folder[0]) return 0;
  char link[64], path[4096];
  int kept = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = kept;
  if (length < 0) return 0;
  path[length] = 0;
  return fails_path(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t read(int file, void *to, size_t size) { return fails(file) ? -1 : NEXT(read)(file, to, size); }

ssize_t readv(int file, const struct iovec *to, int count) { return fails(file) ? -1 : NEXT(readv)(file, to, count); }

ssize_t pread(int file, void *to, size_t size, off_t at) { return fails(file) ? -1 : NEXT(pread)(file, to, size, at); }

ssize_t pread64(int file, void *to, size_t size, off64_t at) {
  return fails(file) ? -1 : NEXT(pread64)(file, to, size, at);
}

ssize_t preadv(int file, const struct iovec *to, int count, off_t at) {
  return fails(file) ? -1 : NEXT(preadv)(file, to, count, at);
}

ssize_t preadv64(int file, const struct iovec *to, int count, off64_t at) {
  return fails(file) ? -1 : NEXT(preadv64)(file, to, count, at);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t from) {
  if (file >= 0 && !(flags & MAP_ANONYMOUS) && fails(file)) return MAP_FAILED;
  return NEXT(mmap)(at, size, protection, flags, file, from);
}

void *mmap64(void *at, size_t size, int protection, int flags, int file, off64_t from) {
  if (file >= 0 && !(flags & MAP_ANONYMOUS) && fails(file)) return MAP_FAILED;
  return NEXT(mmap64)(at, size, protection, flags, file, from);
}

#define OPENING(name)                                                       \
  int name(const char *path, int flags, ...) {                              \
    va_list rest;                                                           \
    va_start(rest, flags);                                                  \
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;     \
    va_end(rest);                                                           \
    if ((flags & O_ACCMODE) == O_RDONLY && fails_path(path)) return -1;     \
    return NEXT(name)(path, flags, mode);                                   \
  }

OPENING(open)
OPENING(open64)
