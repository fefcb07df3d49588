// Preloaded into a child process: notes in the file TRACE_FILE when SQLite writes to its write-ahead log and when fsync of it has
// returned. With FAIL_SYNC=n the n-th fsync of it answers EIO without having happened.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_wal(int fd) {
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 4) return 0;
	path[n] = 0;
	return strcmp(path + n - 4, "-wal") == 0;
}

static void note(const char *line) {
	static ssize_t (*real)(int, const void *, size_t);
	if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	int fd = open(getenv("TRACE_FILE"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || real(fd, line, strlen(line)) < 0) abort();
	close(fd);
}

#define WRITER(name, offset) \
	ssize_t name(int fd, const void *b, size_t n, offset o) { \
		static ssize_t (*real)(int, const void *, size_t, offset); \
		if (!real) real = (ssize_t (*)(int, const void *, size_t, offset))dlsym(RTLD_NEXT, #name); \
		if (is_wal(fd)) note("write\n"); \
		return real(fd, b, n, o); \
	}
WRITER(pwrite, off_t)
WRITER(pwrite64, off64_t)

ssize_t write(int fd, const void *b, size_t n) {
	static ssize_t (*real)(int, const void *, size_t);
	if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	if (is_wal(fd)) note("write\n");
	return real(fd, b, n);
}

static int synced(int fd, int (*real)(int)) {
	static int count;
	int wal = is_wal(fd);
	const char *fail = getenv("FAIL_SYNC");
	if (wal && fail && ++count == atoi(fail)) {
		note("eio\n");
		errno = EIO;
		return -1;
	}
	int r = real(fd);
	if (wal && r == 0) note("sync\n");
	return r;
}

int fsync(int fd) {
	static int (*real)(int);
	if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	return synced(fd, real);
}

int fdatasync(int fd) {
	static int (*real)(int);
	if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	return synced(fd, real);
}
