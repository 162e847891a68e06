// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the virtio-fs DAX tests, see fuse_dax_common.h.
 */
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <mntent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/loop.h>
#include <linux/stat.h>

#include "fuse_dax_common.h"

#define TRACING		"/sys/kernel/tracing"
#define INSTANCE	TRACING "/instances/fuse_dax_test"
#define MAX_RANGES	"/sys/module/fuse/parameters/dax_max_ranges"
#define BLOCK		(256 * KiB)

static char first_options[256];

/* Read a small text file; the number of bytes or -1. */
static ssize_t text_read(const char *path, char *buf, size_t len)
{
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static int text_write(const char *path, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;
	int fd;

	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, text, len);
	close(fd);
	return n == (ssize_t)len ? 0 : -1;
}

long env_number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? atol(text) : otherwise;
}

bool dax_required(void)
{
	return env_number("FUSE_DAX_REQUIRE", 0) == 1;
}

/* Size of a bulky test after FUSE_DAX_SCALE, in whole ranges. */
size_t scaled(size_t bytes)
{
	size_t size = bytes / 100 * env_number("FUSE_DAX_SCALE", 100);

	return size < RANGE ? RANGE : size / RANGE * RANGE;
}

long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void sleep_ms(long ms)
{
	poll(NULL, 0, ms);
}

/* The mount and its options */

/**
 * fs_mount_options() - options of a mount as /proc/mounts shows them
 * @mnt: mount point
 * @buf: where to put them
 * @len: size of @buf
 *
 * Return: 0, or -1 if nothing is mounted there.
 */
int fs_mount_options(const char *mnt, char *buf, size_t len)
{
	struct mntent *entry;
	int ret = -1;
	FILE *table;

	table = setmntent("/proc/mounts", "r");
	if (!table)
		return -1;
	while ((entry = getmntent(table))) {
		if (strcmp(entry->mnt_dir, mnt))
			continue;
		snprintf(buf, len, "%s", entry->mnt_opts);
		ret = 0;
	}
	endmntent(table);
	return ret;
}

/* The dax option of the mount, in the form mount(2) takes, before any test. */
__attribute__((constructor)) static void remember_first_options(void)
{
	const char *mnt = getenv("FUSE_DAX_DIR");
	char all[512], *option;

	if (!mnt || fs_mount_options(mnt, all, sizeof(all)))
		return;
	option = strstr(all, "dax");
	if (option)
		snprintf(first_options, sizeof(first_options), "%.*s",
			 (int)strcspn(option, ","), option);
}

const char *fs_first_options(void)
{
	return first_options;
}

/**
 * fs_remount() - unmount, and mount the same device with other options
 * @fs: the mount; its directory is opened again if it had one
 * @options: data for mount(2)
 *
 * Return: 0, or -1 with errno of what failed.
 */
int fs_remount(struct dax_fs *fs, const char *options)
{
	if (fs->dirfd >= 0)
		close(fs->dirfd);
	fs->dirfd = -1;
	if (umount(fs->mnt) && errno != EINVAL)
		return -1;
	if (mount(fs->tag, fs->mnt, "virtiofs", 0, options))
		return -1;
	if (fs->dir[0])
		fs->dirfd = open(fs->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

bool fs_has_max_ranges(void)
{
	return access(MAX_RANGES, W_OK) == 0;
}

/* Limit the window to @ranges (0: no limit) and mount again. */
int fs_set_max_ranges(struct dax_fs *fs, unsigned int ranges)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", ranges);
	if (text_write(MAX_RANGES, text))
		return -1;
	return fs_remount(fs, first_options);
}

static unsigned long kernel_taint(void)
{
	char text[32];

	if (text_read("/proc/sys/kernel/tainted", text, sizeof(text)) <= 0)
		return 0;
	return strtoul(text, NULL, 10);
}

bool fd_is_dax(int fd)
{
	struct statx stx;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx))
		return false;
	return stx.stx_attributes & STATX_ATTR_DAX;
}

static bool dir_makes_dax_files(struct dax_fs *fs)
{
	bool dax = false;
	int fd;

	fd = openat(fs->dirfd, "probe", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	dax = fd_is_dax(fd);
	close(fd);
	unlinkat(fs->dirfd, "probe", 0);
	return dax;
}

/**
 * fs_open() - make a directory for one test
 * @fs: filled here
 *
 * Return: 0, or -1 with errno.
 */
int fs_open(struct dax_fs *fs)
{
	memset(fs, 0, sizeof(*fs));
	fs->dirfd = -1;
	fs->mnt = getenv("FUSE_DAX_DIR");
	fs->tag = getenv("FUSE_DAX_TAG");
	fs->taint = kernel_taint();
	if (!fs->mnt) {
		errno = ENOENT;
		return -1;
	}
	snprintf(fs->dir, sizeof(fs->dir), "%s/fuse_dax.XXXXXX", fs->mnt);
	if (!mkdtemp(fs->dir)) {
		fs->dir[0] = '\0';
		return -1;
	}
	fs->dirfd = open(fs->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs->dirfd < 0)
		return -1;
	fs->dax = dir_makes_dax_files(fs);
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *walk)
{
	remove(path);
	return 0;
}

void fs_close(struct dax_fs *fs)
{
	if (fs->dirfd >= 0)
		close(fs->dirfd);
	fs->dirfd = -1;
	if (fs->dir[0])
		nftw(fs->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/**
 * shares_count() - how many shares the machine has
 *
 * Their tags are $FUSE_DAX_TAG, and the same with 2, 3 and so on behind it.
 *
 * Return: their number; 1 where nothing tells.
 */
int shares_count(void)
{
	const char *first = getenv("FUSE_DAX_TAG");
	char tag[64];
	glob_t devices;
	int count = 0;
	size_t i;

	if (!first || glob("/sys/fs/virtiofs/*/tag", 0, NULL, &devices))
		return 1;
	for (i = 0; i < devices.gl_pathc; i++)
		if (text_read(devices.gl_pathv[i], tag, sizeof(tag)) > 0 &&
		    !strncmp(tag, first, strlen(first)))
			count++;
	globfree(&devices);
	return count ?: 1;
}

/**
 * share_open() - mount another share, and make a directory for one test there
 * @fs: filled here
 * @number: of the share: 2 or more
 *
 * Return: 0, or -1 with errno.
 */
int share_open(struct dax_fs *fs, int number)
{
	const char *old_dir = getenv("FUSE_DAX_DIR");
	const char *old_tag = getenv("FUSE_DAX_TAG");
	char *dir, *tag;
	int ret = -1;

	memset(fs, 0, sizeof(*fs));
	fs->dirfd = -1;
	if (asprintf(&dir, "/tmp/share%d.XXXXXX", number) < 0 ||
	    asprintf(&tag, "%s%d", old_tag, number) < 0 || !mkdtemp(dir) ||
	    mount(tag, dir, "virtiofs", 0, "dax=always"))
		return -1;
	if (!setenv("FUSE_DAX_DIR", dir, 1) && !setenv("FUSE_DAX_TAG", tag, 1))
		ret = fs_open(fs);
	fs->mnt = dir;
	fs->tag = tag;
	setenv("FUSE_DAX_DIR", old_dir, 1);
	setenv("FUSE_DAX_TAG", old_tag, 1);
	return ret;
}

/* Does nothing for what was not opened, or as far as it was. */
int share_close(struct dax_fs *fs)
{
	int ret;

	if (!fs->mnt)
		return 0;
	fs_close(fs);
	ret = umount(fs->mnt);
	rmdir(fs->mnt);
	free((char *)fs->mnt);
	free((char *)fs->tag);
	fs->mnt = NULL;
	return ret;
}

/* Whether the kernel warned (or worse) since the test began. */
bool fs_untainted(const struct dax_fs *fs)
{
	return kernel_taint() == fs->taint;
}

/* Patterns: each aligned word of a file depends on its position */

static uint64_t pattern_word(uint64_t pos, uint64_t seed)
{
	return ((pos >> 3) + 1) * 0x9e3779b97f4a7c15ULL ^
	       seed * 0xc2b2ae3d27d4eb4fULL;
}

/* With which seed the pattern has this aligned word at @pos. */
uint64_t pattern_seed(const void *word, off_t pos)
{
	uint64_t value;

	memcpy(&value, word, sizeof(value));
	/* The second factor times this is 1 (modulo 2^64) */
	return (value ^ pattern_word(pos, 0)) * 0x0ba79078168d4bafULL;
}

static unsigned char pattern_byte(off_t pos, uint64_t seed)
{
	return pattern_word(pos, seed) >> (8 * (pos & 7));
}

void pattern_fill(void *buf, off_t pos, size_t len, uint64_t seed)
{
	unsigned char *p = buf;
	uint64_t word;

	for (; len && (pos & 7); len--, pos++)
		*p++ = pattern_byte(pos, seed);
	for (; len >= 8; len -= 8, pos += 8, p += 8) {
		word = pattern_word(pos, seed);
		memcpy(p, &word, 8);
	}
	for (; len; len--, pos++)
		*p++ = pattern_byte(pos, seed);
}

/* Index of the first byte that is not the pattern's, or -1. */
long pattern_diff(const void *buf, off_t pos, size_t len, uint64_t seed)
{
	const unsigned char *p = buf;
	uint64_t word;
	size_t i = 0;

	while (i < len) {
		if (!((pos + i) & 7) && len - i >= 8) {
			memcpy(&word, p + i, 8);
			if (word == pattern_word(pos + i, seed)) {
				i += 8;
				continue;
			}
		}
		if (p[i] != pattern_byte(pos + i, seed))
			return i;
		i++;
	}
	return -1;
}

/* Like pattern_diff(), says where and what; 0 or -1. */
int mem_is_pattern(const void *buf, off_t pos, size_t len, uint64_t seed)
{
	long at = pattern_diff(buf, pos, len, seed);

	if (at < 0)
		return 0;
	fprintf(stderr, "# byte %lld is %#x, not %#x\n", (long long)pos + at,
		((const unsigned char *)buf)[at], pattern_byte(pos + at, seed));
	return -1;
}

int mem_is_zero(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		if (!p[i])
			continue;
		fprintf(stderr, "# byte %zu is %#x, not zero\n", i, p[i]);
		return -1;
	}
	return 0;
}

/* Write @len bytes of the pattern at @pos, in blocks; 0 or -1. */
int file_write(int fd, off_t pos, size_t len, uint64_t seed)
{
	char *block = malloc(BLOCK);
	int ret = 0;

	while (len && !ret) {
		size_t n = len < BLOCK ? len : BLOCK;

		pattern_fill(block, pos, n, seed);
		if (pwrite(fd, block, n, pos) != (ssize_t)n)
			ret = -1;
		pos += n;
		len -= n;
	}
	free(block);
	return ret;
}

/**
 * file_make() - make a file with the pattern
 * @fs: the test's directory
 * @name: name in it
 * @size: length
 * @seed: seed of the pattern
 *
 * Return: a descriptor open for reading and writing, or -1.
 */
int file_make(struct dax_fs *fs, const char *name, off_t size, uint64_t seed)
{
	int fd;

	fd = openat(fs->dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		    0644);
	if (fd < 0)
		return -1;
	if (file_write(fd, 0, size, seed)) {
		close(fd);
		return -1;
	}
	return fd;
}

/**
 * file_settle() - wait until the times of a file tell of any later change
 * @fd: the file
 *
 * They are of the server's clock, and the driver holds them against its own, which
 * may be behind by a second and more.
 *
 * Return: 0, or -1 if that takes longer than 20 s.
 */
int file_settle(int fd)
{
	long until = now_ms() + 20000;
	struct stat st;

	while (now_ms() < until) {
		if (fstat(fd, &st))
			return -1;
		if (time(NULL) > st.st_mtime + 2 && time(NULL) > st.st_ctime + 2)
			return 0;
		sleep_ms(50);
	}
	return -1;
}

int files_make(struct dax_fs *fs, const char *name, int n, off_t size,
	       uint64_t seed)
{
	char numbered[32];
	int fd, i;

	for (i = 0; i < n; i++) {
		snprintf(numbered, sizeof(numbered), "%s%d", name, i);
		fd = file_make(fs, numbered, size, seed + i);
		if (fd < 0)
			return -1;
		close(fd);
	}
	return 0;
}

static int file_compare(int fd, off_t pos, size_t len,
			int (*is)(const void *, off_t, size_t, uint64_t),
			uint64_t seed)
{
	char *block = malloc(BLOCK);
	int ret = 0;

	while (len && !ret) {
		size_t n = len < BLOCK ? len : BLOCK;
		ssize_t got;

		memset(block, 0xa5, n);
		got = pread(fd, block, n, pos);
		if (got != (ssize_t)n) {
			fprintf(stderr, "# read at %lld: %zd of %zu, %s\n",
				(long long)pos, got, n, strerror(errno));
			ret = -1;
			break;
		}
		ret = is(block, pos, n, seed);
		pos += n;
		len -= n;
	}
	free(block);
	return ret;
}

int file_is_pattern(int fd, off_t pos, size_t len, uint64_t seed)
{
	return file_compare(fd, pos, len, mem_is_pattern, seed);
}

static int block_is_zero(const void *buf, off_t pos, size_t len, uint64_t seed)
{
	return mem_is_zero(buf, len);
}

int file_is_zero(int fd, off_t pos, size_t len)
{
	return file_compare(fd, pos, len, block_is_zero, 0);
}

void *map_file(int fd, size_t len, int prot, int flags)
{
	return mmap(NULL, len, prot, flags, fd, 0);
}

/* Names that were used lately survive the first times. */
int drop_caches(int what)
{
	char text[4];
	int i, ret = 0;

	sync();
	snprintf(text, sizeof(text), "%d", what);
	for (i = 0; i < 3 && !ret; i++)
		ret = text_write("/proc/sys/vm/drop_caches", text);
	return ret;
}

/* Counters */

/* /sys/fs/virtiofs/<n>/dax of the device whose tag is ours. */
static int counter_dir(const struct dax_fs *fs, char *buf, size_t len)
{
	char path[PATH_MAX], tag[64];
	glob_t devices;
	int ret = -1;
	size_t i;

	if (!fs->tag || glob("/sys/fs/virtiofs/*", 0, NULL, &devices))
		return -1;
	for (i = 0; i < devices.gl_pathc; i++) {
		snprintf(path, sizeof(path), "%s/tag", devices.gl_pathv[i]);
		if (text_read(path, tag, sizeof(tag)) <= 0)
			continue;
		tag[strcspn(tag, "\n")] = '\0';
		if (strcmp(tag, fs->tag))
			continue;
		snprintf(buf, len, "%s/dax", devices.gl_pathv[i]);
		ret = access(buf, X_OK);
		break;
	}
	globfree(&devices);
	return ret;
}

long counter(const struct dax_fs *fs, const char *name)
{
	char dir[PATH_MAX / 2], path[PATH_MAX], text[32], *end;
	long value;

	if (counter_dir(fs, dir, sizeof(dir)))
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (text_read(path, text, sizeof(text)) <= 0)
		return -1;
	value = strtol(text, &end, 10);
	return end == text || (*end && *end != '\n') ? -1 : value;
}

/* Wait up to 5 s for a counter to reach @value; 0 or -1. */
int counter_wait(const struct dax_fs *fs, const char *name, long value)
{
	long until = now_ms() + 5000;

	while (counter(fs, name) != value) {
		if (now_ms() > until) {
			fprintf(stderr, "# %s is %ld, not %ld\n", name,
				counter(fs, name), value);
			return -1;
		}
		sleep_ms(10);
	}
	return 0;
}

int counters_at_rest(const struct dax_fs *fs)
{
	if (counter(fs, "ranges_total") < 0)
		return 0;
	return counter_wait(fs, "mappings_live", 0) ||
	       counter_wait(fs, "ranges_bad", 0) ||
	       counter_wait(fs, "ranges_free", counter(fs, "ranges_total"));
}

/* Ranges of the window, or -1 where nothing tells. */
long window_ranges(const struct dax_fs *fs)
{
	long ranges = counter(fs, "ranges_total");

	if (ranges < 0)
		ranges = env_number("FUSE_DAX_WINDOW_MIB", -2) / 2;
	return ranges;
}

/* Trace */

static struct {
	long requests[OP_MAX];
	long bytes[OP_MAX];
	long largest[OP_MAX];
	struct {
		char name[48];
		long count;
	} events[16];
} seen;

bool trace_has_event(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), TRACING "/events/fuse/%s/enable", name);
	return access(path, W_OK) == 0;
}

static void trace_forget(void)
{
	rmdir(INSTANCE);
}

/* To make and to remove the instance is slow: it serves all tests. */
__attribute__((constructor)) static void trace_forget_at_exit(void)
{
	atexit(trace_forget);
}

/* Begin to record requests and events in an instance of our own; 0 or -1. */
int trace_start(void)
{
	static const char enable[] = INSTANCE "/events/fuse/enable";

	memset(&seen, 0, sizeof(seen));
	if (!trace_has_event("fuse_request_send"))
		return -1;
	if (mkdir(INSTANCE, 0700) && errno != EEXIST)
		return -1;
	text_write(INSTANCE "/trace", "");
	text_write(INSTANCE "/tracing_on", "1");
	return text_write(enable, "1");
}

/* Record one more event, "GROUP/NAME", until told not to; 0 or -1. */
int trace_also(const char *event, bool on)
{
	char path[128];

	snprintf(path, sizeof(path), INSTANCE "/events/%s/enable", event);
	return text_write(path, on ? "1" : "0");
}

static void count_event(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < 16; i++) {
		if (!seen.events[i].name[0])
			snprintf(seen.events[i].name,
				 sizeof(seen.events[i].name), "%.*s",
				 (int)len, name);
		if (strlen(seen.events[i].name) != len ||
		    strncmp(seen.events[i].name, name, len))
			continue;
		seen.events[i].count++;
		return;
	}
}

static void count_line(const char *line)
{
	const char *name = strstr(line, ": fuse_"), *end, *field;
	unsigned int opcode, len;

	if (!name)
		name = strstr(line, ": dax_");
	if (!name)
		return;
	name += 2;
	end = strchr(name, ':');
	if (!end)
		return;
	count_event(name, end - name);
	if (strncmp(name, "fuse_request_send:", 18))
		return;
	field = strstr(end, "opcode ");
	if (!field || sscanf(field, "opcode %u", &opcode) != 1)
		return;
	field = strstr(field, " len ");
	if (opcode >= OP_MAX || !field || sscanf(field, " len %u", &len) != 1)
		return;
	seen.requests[opcode]++;
	seen.bytes[opcode] += len;
	if (len > seen.largest[opcode])
		seen.largest[opcode] = len;
}

/* Events that the ring buffer lost. */
static long trace_lost(void)
{
	char text[1024], *field;
	long lost = 0;
	glob_t cpus;
	size_t i;

	if (glob(INSTANCE "/per_cpu/*/stats", 0, NULL, &cpus))
		return 0;
	for (i = 0; i < cpus.gl_pathc; i++) {
		if (text_read(cpus.gl_pathv[i], text, sizeof(text)) <= 0)
			continue;
		field = strstr(text, "overrun:");
		if (field)
			lost += atol(field + 8);
	}
	globfree(&cpus);
	return lost;
}

/* Stop and count; 0, or -1 if the record is not complete. */
int trace_stop(void)
{
	char line[512];
	long lost;
	FILE *trace;

	text_write(INSTANCE "/events/fuse/enable", "0");
	trace = fopen(INSTANCE "/trace", "re");
	if (!trace)
		return -1;
	while (fgets(line, sizeof(line), trace))
		count_line(line);
	fclose(trace);
	lost = trace_lost();
	if (lost)
		fprintf(stderr, "# %ld trace events were lost\n", lost);
	return lost ? -1 : 0;
}

long trace_requests(int opcode)
{
	return seen.requests[opcode];
}

/* Bytes that the requests carried behind @header bytes each. */
long trace_payload(int opcode, size_t header)
{
	return seen.bytes[opcode] - seen.requests[opcode] * (long)header;
}

long trace_largest(int opcode, size_t header)
{
	return seen.requests[opcode] ? seen.largest[opcode] - (long)header : 0;
}

long trace_events(const char *name)
{
	size_t i;

	for (i = 0; i < 16; i++)
		if (!strcmp(seen.events[i].name, name))
			return seen.events[i].count;
	return 0;
}

/* Faults */

static __thread sigjmp_buf bus_escape;

static void on_sigbus(int sig)
{
	siglongjmp(bus_escape, 1);
}

static void catch_sigbus(void)
{
	struct sigaction action = {
		.sa_handler = on_sigbus,
		.sa_flags = SA_NODEFER,
	};

	sigaction(SIGBUS, &action, NULL);
}

int touch_read(const volatile void *p)
{
	catch_sigbus();
	if (sigsetjmp(bus_escape, 1))
		return -1;
	return *(const volatile unsigned char *)p;
}

int fill_window(struct dax_fs *fs, int ranges, char **maps)
{
	char name[16];
	int fd, i;

	for (i = 0; i < ranges; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		fd = file_make(fs, name, RANGE, i);
		if (fd < 0)
			return -1;
		maps[i] = map_file(fd, RANGE, PROT_READ, MAP_SHARED);
		close(fd);
		if (maps[i] == MAP_FAILED || touch_read(maps[i]) < 0)
			return -1;
	}
	return 0;
}

int pin_page(void *page, int pipefd[2])
{
	struct iovec iov = { page, PAGE };

	if (pipe(pipefd))
		return -1;
	return vmsplice(pipefd[1], &iov, 1, 0) == PAGE ? 0 : -1;
}

int touch_write(volatile void *p, unsigned char value)
{
	catch_sigbus();
	if (sigsetjmp(bus_escape, 1))
		return -1;
	*(volatile unsigned char *)p = value;
	return 0;
}

int touch_copy(void *to, const void *page)
{
	const volatile uint64_t *from = page;
	uint64_t *words = to;
	size_t i;

	catch_sigbus();
	if (sigsetjmp(bus_escape, 1))
		return -1;
	for (i = 0; i < PAGE / sizeof(*words); i++)
		words[i] = from[i];
	return 0;
}

/* Read one byte of each page; their sum, so that the reads stay. */
unsigned long touch_pages(const void *p, size_t len)
{
	const volatile unsigned char *byte = p;
	unsigned long sum = 0;
	size_t i;

	for (i = 0; i < len; i += PAGE)
		sum += byte[i];
	return sum;
}

/* Page faults of this process until now. */
long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* Children */

static bool gone_within(pid_t pid, long ms, int *status)
{
	long until = now_ms() + ms;

	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		if (now_ms() > until)
			return false;
		sleep_ms(5);
	}
}

bool kill_within(pid_t pid, long ms)
{
	int status;

	kill(pid, SIGKILL);
	return gone_within(pid, ms, &status);
}

int wait_within(pid_t pid, long ms)
{
	int status;

	if (!gone_within(pid, ms, &status) || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

bool dump_find(char *path, size_t size)
{
	const char *dir = "/sys/kernel/debug";
	struct dirent *d;
	DIR *debugfs;

	path[0] = 0;
	mount("debugfs", dir, "debugfs", 0, NULL);
	debugfs = opendir(dir);
	while (debugfs && !path[0] && (d = readdir(debugfs)))
		if (!strncmp(d->d_name, "virtiofs_dax-", 13))
			snprintf(path, size, "%s/%s", dir, d->d_name);
	if (debugfs)
		closedir(debugfs);
	return path[0];
}

bool dump_has(const char *words)
{
	char path[300], line[512];
	bool has = false;
	FILE *file;

	file = dump_find(path, sizeof(path)) ? fopen(path, "r") : NULL;
	while (file && !has && fgets(line, sizeof(line), file))
		has = strstr(line, words);
	if (file)
		fclose(file);
	return has;
}

int disk_open(const char *data, size_t len)
{
	struct loop_config config = {
		.fd = memfd_create("disk", MFD_CLOEXEC),
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), disk = -1;
	char name[32];

	if ((int)config.fd >= 0 && control >= 0 &&
	    pwrite(config.fd, data, len, 0) == (ssize_t)len) {
		snprintf(name, sizeof(name), "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		disk = open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
	}
	if (disk >= 0 && ioctl(disk, LOOP_CONFIGURE, &config)) {
		close(disk);
		disk = -1;
	}
	close(config.fd);
	close(control);
	return disk;
}
