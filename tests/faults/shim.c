/* Faults at chosen system calls of a process, for tests/faults: loaded by LD_PRELOAD.

   Calls of libc that concern files are counted from `faults_arm` on, and one of them, or all from
   one on, fails, or the process is killed before, in the midst of or after it. What Python,
   safetensors (Rust), Pillow, PyTorch and Graphviz call is seen alike; what glibc calls within
   itself (fopen's own open and reads) is not, but for fopen as a whole. Standard streams, pipes and
   devices do not count. Memory is asked for in large pieces and in small ones: the large count. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The letters of the log. */
#define CREATES 'c'
#define OPENS 'o'
#define LISTS 'd'
#define READS 'r'
#define WRITES 'w'
#define SYNCS 's'
#define RENAMES 'n'
#define REMOVES 'u'
#define MAKES 'm'
#define MAPS 'p'
#define LOCKS 'l'
#define MODES 'h'
#define MEMORY 'a'

enum { NOTHING, FAIL, FAIL_ON, KILL_BEFORE, KILL_AMID, KILL_AFTER };

#define LONGEST 200000
static char calls[LONGEST];
static char kinds[32];
static volatile int armed;
static long seen, at;
static int action, number;

void faults_arm(const char *which, long call, int what, int error) {
  strncpy(kinds, which, sizeof kinds - 1);
  seen = 0, at = call, action = what, number = error;
  armed = 1;
}

long faults_disarm(char *log, long room) {
  armed = 0;
  long count = seen < room ? seen : room;
  memcpy(log, calls, count);
  return seen;
}

static void end(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); for (;;) pause(); }

/* What is to happen at this call. */
static int now(char kind) {
  if (!armed || !strchr(kinds, kind)) return NOTHING;
  long mine = __sync_fetch_and_add(&seen, 1);
  if (mine < LONGEST) calls[mine] = kind;
  if (mine != at && !(action == FAIL_ON && mine > at)) return NOTHING;
  if (action == KILL_BEFORE) end();
  if (action == FAIL || action == FAIL_ON) errno = number;
  return action;
}

static int fails(int what) { return what == FAIL || what == FAIL_ON; }

static int ordinary(int fd) {
  struct stat found;
  if (fd <= 2 || syscall(SYS_fstat, fd, &found) != 0) return 0;
  return S_ISREG(found.st_mode) || S_ISDIR(found.st_mode);
}

static int quiet(const char *path) { /* what the machine says of itself */
  return path && (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) || !strncmp(path, "/dev/", 5));
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define DO(kind, failed, type, call) \
  int what = now(kind); \
  if (fails(what)) return failed; \
  type result = call; \
  if (what == KILL_AMID || what == KILL_AFTER) end(); \
  return result

#define OPENER(name, first, given, path) \
  int name(first const char *path, int flags, ...) { \
    REAL(name); \
    int mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
      va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); \
    } \
    if (quiet(path)) return real(given path, flags, mode); \
    DO(flags & (O_CREAT | O_WRONLY | O_RDWR) ? CREATES : OPENS, -1, int, real(given path, flags, mode)); \
  }
#define NONE
#define FOLDER int folder,
#define GIVEN folder,
OPENER(open, NONE, NONE, path)
OPENER(open64, NONE, NONE, path)
OPENER(openat, FOLDER, GIVEN, path)
OPENER(openat64, FOLDER, GIVEN, path)

FILE *fopen(const char *path, const char *mode) {
  REAL(fopen);
  if (quiet(path)) return real(path, mode);
  DO(*mode == 'r' ? OPENS : CREATES, NULL, FILE *, real(path, mode));
}
FILE *fopen64(const char *path, const char *mode) {
  REAL(fopen64);
  if (quiet(path)) return real(path, mode);
  DO(*mode == 'r' ? OPENS : CREATES, NULL, FILE *, real(path, mode));
}
DIR *opendir(const char *path) {
  REAL(opendir);
  DO(LISTS, NULL, DIR *, real(path));
}

ssize_t read(int fd, void *to, size_t count) {
  REAL(read);
  if (!armed || !ordinary(fd)) return real(fd, to, count);
  DO(READS, -1, ssize_t, real(fd, to, count));
}
ssize_t pread(int fd, void *to, size_t count, off_t from) {
  REAL(pread);
  if (!armed || !ordinary(fd)) return real(fd, to, count, from);
  DO(READS, -1, ssize_t, real(fd, to, count, from));
}
ssize_t pread64(int fd, void *to, size_t count, off64_t from) {
  REAL(pread64);
  if (!armed || !ordinary(fd)) return real(fd, to, count, from);
  DO(READS, -1, ssize_t, real(fd, to, count, from));
}

/* A full disk takes half of the first write that it refuses, and a kill may come in its midst. */
ssize_t write(int fd, const void *from, size_t count) {
  REAL(write);
  if (!armed || !ordinary(fd)) return real(fd, from, count);
  int what = now(WRITES);
  if (what == KILL_AMID) { real(fd, from, count / 2); end(); }
  if (fails(what)) {
    if (number == ENOSPC && seen == at + 1 && count > 1) return real(fd, from, count / 2);
    errno = number;
    return -1;
  }
  ssize_t result = real(fd, from, count);
  if (what == KILL_AFTER) end();
  return result;
}
ssize_t pwrite(int fd, const void *from, size_t count, off_t where) {
  REAL(pwrite);
  if (!armed || !ordinary(fd)) return real(fd, from, count, where);
  DO(WRITES, -1, ssize_t, real(fd, from, count, where));
}
int fsync(int fd) { REAL(fsync); DO(SYNCS, -1, int, real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); DO(SYNCS, -1, int, real(fd)); }
int rename(const char *from, const char *to) { REAL(rename); DO(RENAMES, -1, int, real(from, to)); }
int renameat(int a, const char *from, int b, const char *to) {
  REAL(renameat);
  DO(RENAMES, -1, int, real(a, from, b, to));
}
int unlink(const char *path) { REAL(unlink); DO(REMOVES, -1, int, real(path)); }
int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  DO(REMOVES, -1, int, real(folder, path, flags));
}
int rmdir(const char *path) { REAL(rmdir); DO(REMOVES, -1, int, real(path)); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); DO(MAKES, -1, int, real(path, mode)); }
int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(mkdirat);
  DO(MAKES, -1, int, real(folder, path, mode));
}
int flock(int fd, int how) { REAL(flock); DO(LOCKS, -1, int, real(fd, how)); }
int fchmod(int fd, mode_t mode) { REAL(fchmod); DO(MODES, -1, int, real(fd, mode)); }
int chmod(const char *path, mode_t mode) { REAL(chmod); DO(MODES, -1, int, real(path, mode)); }
#define LARGE 32768
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
static int refused(size_t size) { return armed && size >= LARGE && fails(now(MEMORY)); }

void *malloc(size_t size) { return refused(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
  return refused(count * size) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) { return refused(size) ? NULL : __libc_realloc(old, size); }
void *aligned_alloc(size_t by, size_t size) {
  return refused(size) ? NULL : __libc_memalign(by, size);
}
int posix_memalign(void **to, size_t by, size_t size) {
  if (refused(size)) return ENOMEM;
  void *found = __libc_memalign(by, size);
  if (!found) return ENOMEM;
  *to = found;
  return 0;
}

void *mmap(void *to, size_t count, int access, int flags, int fd, off_t from) {
  REAL(mmap);
  if (!armed) return real(to, count, access, flags, fd, from);
  if (fd < 0) return refused(count) ? MAP_FAILED : real(to, count, access, flags, fd, from);
  DO(MAPS, MAP_FAILED, void *, real(to, count, access, flags, fd, from));
}
void *mmap64(void *to, size_t count, int access, int flags, int fd, off64_t from) {
  REAL(mmap64);
  if (!armed) return real(to, count, access, flags, fd, from);
  if (fd < 0) return refused(count) ? MAP_FAILED : real(to, count, access, flags, fd, from);
  DO(MAPS, MAP_FAILED, void *, real(to, count, access, flags, fd, from));
}
