// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the tests with virtiofs-daxd-fault, see fuse_dax_fault.h.
 */
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "fuse_dax_fault.h"

#define FAULT_XATTR	"trusted.daxd.fault"
#define HOST_XATTR	"trusted.daxd.host"
#define TEXT_MAX	16384

/* Rules */

/* What the server says, with a newline before each line; NULL: it does not. */
static const char *fault_text(const struct dax_fs *fs)
{
	static char text[TEXT_MAX];
	ssize_t len;

	len = getxattr(fs->mnt, FAULT_XATTR, text + 1, sizeof(text) - 2);
	if (len < 0)
		return NULL;
	text[0] = '\n';
	text[len + 1] = '\0';
	return text;
}

bool fault_server(const struct dax_fs *fs)
{
	return fault_text(fs);
}

/* Adds rules. */
int fault_set(const struct dax_fs *fs, const char *format, ...)
{
	char rules[512];
	va_list args;

	va_start(args, format);
	vsnprintf(rules, sizeof(rules), format, args);
	va_end(args);
	return setxattr(fs->mnt, FAULT_XATTR, rules, strlen(rules), 0);
}

/* Removes all rules; what was kept back is answered. */
int fault_clear(const struct dax_fs *fs)
{
	return removexattr(fs->mnt, FAULT_XATTR);
}

/* Does something to a file on the host; 0 or -1. */
int fault_host(int fd, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fsetxattr(fd, HOST_XATTR, text, strlen(text), 0);
}

/* How often rules about an opcode, in capital letters, have applied. */
long fault_hits(const struct dax_fs *fs, const char *op)
{
	const char *text = fault_text(fs), *hits;
	char start[64];
	long sum = 0;

	if (!text)
		return -1;
	snprintf(start, sizeof(start), "\nrule op=%s ", op);
	while ((text = strstr(text, start))) {
		text += strlen(start);
		hits = strstr(text, " hits=");
		if (hits)
			sum += atol(hits + 6);
	}
	return sum;
}

/* Waits up to 5 s until they have applied @hits times. */
int fault_wait(const struct dax_fs *fs, const char *op, long hits)
{
	long until = now_ms() + 5000;

	while (fault_hits(fs, op) < hits) {
		if (now_ms() > until) {
			fprintf(stderr, "# rules of %s: %ld hits, not %ld\n",
				op, fault_hits(fs, op), hits);
			return -1;
		}
		sleep_ms(5);
	}
	return 0;
}

/* How many requests of an opcode, in small letters, have come to the server. */
long fault_requests(const struct dax_fs *fs, const char *op)
{
	const char *text = fault_text(fs);
	char start[64];

	snprintf(start, sizeof(start), "\nreq_%s ", op);
	text = text ? strstr(text, start) : NULL;
	return text ? atol(text + strlen(start)) : -1;
}

/* Tasks */

static int pattern_at(off_t pos, uint64_t seed)
{
	unsigned char byte;

	pattern_fill(&byte, pos, 1, seed);
	return byte;
}

pid_t go_load(const char *map, off_t pos, uint64_t seed)
{
	pid_t pid = fork();
	int byte;

	if (pid)
		return pid;
	byte = touch_read(map + pos);
	if (byte < 0)
		_exit(ENDED_SIGBUS);
	_exit(byte == pattern_at(pos, seed) ? ENDED_WELL : ENDED_WRONG);
}

pid_t go_store(char *map, off_t pos, uint64_t seed)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	_exit(touch_write(map + pos, pattern_at(pos, seed)) ? ENDED_SIGBUS :
							      ENDED_WELL);
}

pid_t go_read(int fd, off_t pos, size_t len, uint64_t seed)
{
	pid_t pid = fork();
	ssize_t got;
	char *buf;

	if (pid)
		return pid;
	buf = malloc(len);
	memset(buf, 0xa5, len);
	got = pread(fd, buf, len, pos);
	if (got < 0)
		_exit(errno);
	if (mem_is_pattern(buf, pos, got, seed))
		_exit(ENDED_WRONG);
	_exit(got == (ssize_t)len ? ENDED_WELL : ENDED_SHORT);
}

pid_t go_write(int fd, off_t pos, size_t len, uint64_t seed)
{
	pid_t pid = fork();
	ssize_t done;
	char *buf;

	if (pid)
		return pid;
	buf = malloc(len);
	pattern_fill(buf, pos, len, seed);
	done = pwrite(fd, buf, len, pos);
	if (done < 0)
		_exit(errno);
	_exit(done == (ssize_t)len ? ENDED_WELL : ENDED_SHORT);
}

pid_t go_truncate(int fd, off_t size)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	_exit(ftruncate(fd, size) ? errno : ENDED_WELL);
}

pid_t go_unlink(int dirfd, const char *name)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	_exit(unlinkat(dirfd, name, 0) ? errno : ENDED_WELL);
}

int ended(pid_t pid, long ms, long *took)
{
	long start = now_ms();
	int code = wait_within(pid, ms);

	if (took)
		*took = now_ms() - start;
	return code;
}

bool goes_on(pid_t pid, long ms)
{
	siginfo_t info = { 0 };

	sleep_ms(ms);
	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       !info.si_pid;
}

long killed_after(pid_t pid)
{
	long start = now_ms();

	return kill_within(pid, SOON_MS) ? now_ms() - start : -1;
}

/* Files */

/* Made with another mount, so that this one has no mapping, limit or cache. */
int fault_file_open(struct dax_fs *fs, struct fault_file *file)
{
	int fd = file_make(fs, "file", FAULT_SIZE, FAULT_SEED);

	if (fd < 0)
		return -1;
	close(fd);
	if (fs_remount(fs, fs_first_options()))
		return -1;
	file->fd = openat(fs->dirfd, "file", O_RDWR | O_CLOEXEC);
	if (file->fd < 0)
		return -1;
	file->map = map_file(file->fd, FAULT_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED);
	return file->map == MAP_FAILED ? -1 : 0;
}

void fault_file_close(struct fault_file *file)
{
	if (file->map != MAP_FAILED)
		munmap(file->map, FAULT_SIZE);
	if (file->fd >= 0)
		close(file->fd);
	file->map = MAP_FAILED;
	file->fd = -1;
}
