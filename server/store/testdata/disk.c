// Preloaded into a child process: a disk that keeps a journal and fails on demand. Everything that SQLite does to files below DISK_DIR is
// appended to DISK_JOURNAL, and numbers in DISK_CONTROL, which the child maps as well, say which write or sync fails and how.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

// In the order of the constants in disk_test.go.
struct control {
	int64_t armed;
	int64_t fail_sync;  // the n-th sync from arming fails with EIO, 0: none
	int64_t fail_write; // the n-th write fails, 0: none
	int64_t how;        // of writes: 1 ENOSPC, 2 EIO, 3 half of it and then ENOSPC, 4 half of it
	int64_t stays;      // 1: and all that follow
	int64_t syncs, writes, failed;
};

static struct control none, *control = &none;
static const char *dir;
static int journal = -1;

#define REAL(ret, name, ...) \
	static ret (*real)(__VA_ARGS__); \
	if (!real) real = (ret (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
	dir = getenv("DISK_DIR");
	const char *c = getenv("DISK_CONTROL"), *j = getenv("DISK_JOURNAL");
	if (c) {
		int fd = open(c, O_RDWR | O_CLOEXEC);
		void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED) abort();
		control = p;
		close(fd);
	}
	if (j && (journal = open(j, O_WRONLY | O_APPEND | O_CLOEXEC)) < 0) abort();
}

static int ours(const char *path) { return dir && strncmp(path, dir, strlen(dir)) == 0; }

static int path_of(int fd, char *path, size_t size) {
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, size - 1);
	if (n < 0) return 0;
	path[n] = 0;
	return ours(path);
}

// One record is one write(2) in append mode, so that those of several threads and of Go do not mix.
static void note(char op, const char *path, int64_t at, const void *b, int64_t n) {
	static ssize_t (*real)(int, const struct iovec *, int);
	if (!real) real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
	if (journal < 0) return;
	int64_t head[3] = {(int64_t)strlen(path), at, n};
	struct iovec v[4] = {{&op, 1}, {head, sizeof head}, {(void *)path, head[0]}, {(void *)b, n}};
	if (real(journal, v, 4) != (ssize_t)(1 + sizeof head + head[0] + n)) abort();
}

static int turn(int64_t *count, int64_t at) {
	if (!control->armed) return 0;
	int64_t n = __sync_add_and_fetch(count, 1);
	return at > 0 && (n == at || (control->stays && n > at));
}

// fails answers how many bytes a write may write, or -1 with errno.
static ssize_t fails(size_t n) {
	if (!turn(&control->writes, control->fail_write)) return n;
	int64_t failed = __sync_add_and_fetch(&control->failed, 1);
	switch (control->how) {
	case 2: errno = EIO; return -1;
	case 3: if (failed == 1 && n > 1) return n / 2; break;
	case 4: return n > 1 ? n / 2 : n;
	}
	errno = ENOSPC;
	return -1;
}

#define WRITER(name, offset) \
	ssize_t name(int fd, const void *b, size_t n, offset o) { \
		REAL(ssize_t, name, int, const void *, size_t, offset); \
		char path[4096]; \
		if (!path_of(fd, path, sizeof path)) return real(fd, b, n, o); \
		ssize_t r = fails(n); \
		if (r >= 0) r = real(fd, b, r, o); \
		if (r > 0) note('w', path, o, b, r); \
		return r; \
	}
WRITER(pwrite, off_t)
WRITER(pwrite64, off64_t)

ssize_t write(int fd, const void *b, size_t n) {
	REAL(ssize_t, write, int, const void *, size_t);
	char path[4096];
	if (!path_of(fd, path, sizeof path)) return real(fd, b, n);
	off64_t at = lseek64(fd, 0, SEEK_CUR);
	ssize_t r = fails(n);
	if (r >= 0) r = real(fd, b, r);
	if (r > 0) note('w', path, at, b, r);
	return r;
}

#define SYNCER(name) \
	int name(int fd) { \
		REAL(int, name, int); \
		char path[4096]; \
		if (!path_of(fd, path, sizeof path)) return real(fd); \
		if (turn(&control->syncs, control->fail_sync)) { \
			__sync_add_and_fetch(&control->failed, 1); \
			note('e', path, 0, NULL, 0); \
			errno = EIO; \
			return -1; \
		} \
		int r = real(fd); \
		if (r == 0) note('s', path, 0, NULL, 0); \
		return r; \
	}
SYNCER(fsync)
SYNCER(fdatasync)

#define TRUNCATER(name, offset) \
	int name(int fd, offset size) { \
		REAL(int, name, int, offset); \
		char path[4096]; \
		int r = real(fd, size); \
		if (r == 0 && path_of(fd, path, sizeof path)) note('t', path, size, NULL, 0); \
		return r; \
	}
TRUNCATER(ftruncate, off_t)
TRUNCATER(ftruncate64, off64_t)

#define OPENER(name) \
	int name(const char *path, int flags, ...) { \
		REAL(int, name, const char *, int, ...); \
		va_list a; \
		va_start(a, flags); \
		int mode = va_arg(a, int); \
		va_end(a); \
		int creates = ours(path) && (flags & O_CREAT) && access(path, F_OK) != 0; \
		int r = real(path, flags, mode); \
		if (r >= 0 && creates) note('c', path, 0, NULL, 0); \
		return r; \
	}
OPENER(open)
OPENER(open64)

int unlink(const char *path) {
	REAL(int, unlink, const char *);
	int r = real(path);
	if (r == 0 && ours(path)) note('u', path, 0, NULL, 0);
	return r;
}
