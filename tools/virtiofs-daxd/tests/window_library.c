// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The library in QEMU, driven through its socket. Arguments: the stand-in for
 * QEMU, the stand-in for KVM, and the library if it is not linked with the first.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs_tap.h"
#include "qemu/proto.h"
#include "vhost/fd_pass.h"

#define PAGE WINDOW_PAGE
#define HUGE WINDOW_HUGE
#define LEN (UINT64_C(64) << 20)
#define SHARES 2

static const char *qemu_path, *kvm_path, *library_path;

/* The stand-in: its process, and what it reads and writes. */
static pid_t child = -1;
static FILE *commands, *answers;
static char dir[32];
static int listeners[SHARES], conns[SHARES], bases[SHARES], reports[SHARES];

/* ---- the stand-in for QEMU ---- */

static const char *path_of(int i)
{
	static char paths[SHARES][64];

	snprintf(paths[i], sizeof(paths[i]), "%s/window%d", dir, i);
	return paths[i];
}

static int listen_at(int i)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path_of(i));
	unlink(addr.sun_path);
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	       listen(fd, 1) ? -1 : fd;
}

/* What it says on standard error, from the start of a test. */
static char said_path[32];

static bool said(const char *text)
{
	char line[512];
	FILE *file = fopen(said_path, "re");
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		found |= strstr(line, text) != NULL;
	if (file)
		fclose(file);
	return found;
}

static void show_said(void)
{
	char line[512];
	FILE *file = fopen(said_path, "re");

	while (file && fgets(line, sizeof(line), file))
		printf("# it said: %s", line);
	if (file)
		fclose(file);
}

/* @option: what is to be found in the command line, of two words at most. */
static void exec_qemu(const int *in, const int *out, const char *option)
{
	char preload[256], sockets[160];
	char *value = option ? strchr(option, ' ') : NULL;
	char *argv[] = { (char *)qemu_path, (char *)option, value, NULL };

	snprintf(preload, sizeof(preload), "%s%s%s", library_path ?: "",
		 library_path ? ":" : "", kvm_path);
	snprintf(sockets, sizeof(sockets), "%s:%s", path_of(0), path_of(1));
	setenv("LD_PRELOAD", preload, 1);
	setenv("VIRTIOFS_DAX_WINDOW", sockets, 1);
	dup2(in[0], STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	dup2(open(said_path, O_RDWR | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
	if (value) {
		argv[1] = strndup(option, value - option);
		argv[2] = value + 1;
	}
	execv(qemu_path, argv);
	_exit(127);
}

static bool spawn(const char *option)
{
	int in[2], out[2];

	strcpy(dir, "/tmp/dax-qemu.XXXXXX");
	if (!mkdtemp(dir))
		return false;
	snprintf(said_path, sizeof(said_path), "%s/err", dir);
	for (int i = 0; i < SHARES; i++) {
		listeners[i] = listen_at(i);
		conns[i] = bases[i] = reports[i] = -1;
	}
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return false;
	child = fork();
	if (!child)
		exec_qemu(in, out, option);
	close(in[0]);
	close(out[1]);
	commands = fdopen(in[1], "w");
	answers = fdopen(out[0], "r");
	return true;
}

/* The number that answers a command; -1 if the stand-in does not live. */
static int64_t ask(const char *word, uint64_t a, uint64_t b, uint64_t c)
{
	char line[256];

	fprintf(commands, "%s %lu %lu %lu\n", word, a, b, c);
	fflush(commands);
	if (!fgets(line, sizeof(line), answers))
		return -1;
	return strtoul(line, NULL, 0);
}

static const char *ask_words(const char *command)
{
	static char line[256];

	fprintf(commands, "%s\n", command);
	fflush(commands);
	if (!fgets(line, sizeof(line), answers))
		return "dead";
	line[strcspn(line, "\n")] = 0;
	return line;
}

/* Returns the exit status; less than 0 for a signal. */
static int end(void)
{
	int status = 0;

	if (child < 0)
		return -1;
	fclose(commands);
	fclose(answers);
	waitpid(child, &status, 0);
	child = -1;
	for (int i = 0; i < SHARES; i++) {
		close(listeners[i]);
		close(conns[i]);
		close(bases[i]);
		close(reports[i]);
		unlink(path_of(i));
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		show_said();
	unlink(said_path);
	rmdir(dir);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- the daemon's side ---- */

static bool take(int i)
{
	struct pollfd pollfd = { .fd = listeners[i], .events = POLLIN };
	struct window_hello hello;

	if (poll(&pollfd, 1, 5000) != 1)
		return false;
	conns[i] = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC);
	return recv(conns[i], &hello, sizeof(hello), 0) == sizeof(hello) &&
	       hello.magic == WINDOW_MAGIC &&
	       hello.version == WINDOW_VERSION && hello.maps > 1000;
}

/* Sends @len bytes and descriptors; returns the error of the reply, 1 if none. */
static int send_raw(int i, const void *msg, size_t len, const int *fds,
		    unsigned int num_fds)
{
	struct pollfd pollfd = { .fd = conns[i], .events = POLLIN };
	struct iovec iov = { (void *)msg, len };
	struct window_reply reply;

	if (fds_send(conns[i], &iov, 1, fds, num_fds) ||
	    poll(&pollfd, 1, 10000) != 1 ||
	    recv(conns[i], &reply, sizeof(reply), 0) != sizeof(reply))
		return 1;
	return reply.error;
}

static int send_msg(int i, const struct window_msg *msg, int fd)
{
	return send_raw(i, msg, sizeof(*msg), &fd, fd >= 0);
}

static int send_base(int i, uint64_t len, const int *fds, unsigned int num_fds)
{
	const struct window_msg msg = { .op = WINDOW_BASE, .len = len };

	return send_raw(i, &msg, sizeof(msg), fds, num_fds);
}

static int query(int i)
{
	return send_msg(i, &(struct window_msg){ .op = WINDOW_QUERY }, -1);
}

static int map_flags(int fd, uint64_t file_offset, uint64_t len,
		     uint64_t offset, uint32_t flags)
{
	const struct window_msg msg = {
		.op = WINDOW_MAP, .flags = flags, .offset = offset, .len = len,
		.file_offset = file_offset,
	};

	return send_msg(0, &msg, fd);
}

static int map(int fd, uint64_t file_offset, uint64_t len, uint64_t offset)
{
	return map_flags(fd, file_offset, len, offset, 0);
}

static int blank(uint64_t offset, uint64_t len)
{
	const struct window_msg msg = {
		.op = WINDOW_BLANK, .offset = offset, .len = len,
	};

	return send_msg(0, &msg, -1);
}

static int make_base(uint64_t len, int seals)
{
	int fd = memfd_create("base", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return ftruncate(fd, len) || fcntl(fd, F_ADD_SEALS, seals) ? -1 : fd;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static bool begin_share(int i, uint64_t len)
{
	int pair[2];

	if (!take(i) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				   pair))
		return false;
	reports[i] = pair[0];
	bases[i] = make_base(len, SEALS);
	if (send_base(i, len, (int[]){ bases[i], pair[1] }, 2))
		return false;
	close(pair[1]);
	return true;
}

/* QEMU maps a base, at the address that is returned. */
static uint64_t qemu_maps(int i, uint64_t len)
{
	char command[64];

	snprintf(command, sizeof(command), "base %d %d %d %lu", i, getpid(),
		 bases[i], len);
	return strtoul(ask_words(command), NULL, 0);
}

static uint64_t window_addr;

/* All up to where the window of share 0 can be used. */
static bool begin_with(const char *option)
{
	if (child >= 0)
		kill(child, SIGKILL);
	end();
	if (!spawn(option) || ask("hello", 0, 0, 0) || !begin_share(0, LEN))
		return false;
	window_addr = qemu_maps(0, LEN);
	return window_addr && query(0) == 0;
}

static bool begin(void)
{
	return begin_with(NULL);
}

static int get(uint64_t offset)
{
	return ask("get", 0, offset, 0);
}

static int set(uint64_t offset, unsigned char value)
{
	return ask("set", 0, offset, value);
}

/* A file of pages, each full of its number plus @first. */
static int make_file(unsigned char first, unsigned int pages)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char page[PAGE];

	for (unsigned int i = 0; i < pages; i++) {
		memset(page, first + i, sizeof(page));
		if (pwrite(fd, page, sizeof(page), i * PAGE) != sizeof(page))
			return -1;
	}
	return fd;
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static unsigned char byte_of(int fd, off_t offset)
{
	unsigned char byte = 0;

	return pread(fd, &byte, 1, offset) == 1 ? byte : 0;
}

/* ---- tests ---- */

static void nothing_before_the_base(void)
{
	struct window_msg msg = { .op = 99 };

	CHECK(spawn(NULL) && ask("hello", 0, 0, 0) == 0 && take(0));
	CHECK(query(0) == -ENODEV && blank(0, PAGE) == -ENODEV);
	CHECK(send_msg(0, &msg, -1) == -ENODEV);
	CHECK(end() == 0);
}

static void a_base_is_checked(void)
{
	int good = make_base(LEN, SEALS), loose = make_base(LEN, F_SEAL_SEAL);
	int file = memfd_create("file", MFD_CLOEXEC), pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	CHECK(spawn(NULL) && ask("hello", 0, 0, 0) == 0 && take(0));
	CHECK(send_base(0, LEN, NULL, 0) == -EINVAL);
	CHECK(send_base(0, LEN, (int[]){ good }, 1) == -EINVAL);
	CHECK(send_base(0, LEN, (int[]){ good, pair[1], good }, 3) ==
	      -EINVAL);
	CHECK(send_base(0, 0, (int[]){ good, pair[1] }, 2) == -EINVAL);
	CHECK(send_base(0, LEN + PAGE, (int[]){ good, pair[1] }, 2) ==
	      -EINVAL);
	CHECK(send_base(0, 2 * LEN, (int[]){ good, pair[1] }, 2) == -EINVAL);
	CHECK(send_base(0, LEN, (int[]){ loose, pair[1] }, 2) == -EBADF);
	CHECK(send_base(0, LEN, (int[]){ pair[1], pair[1] }, 2) == -EBADF);
	CHECK(send_base(0, LEN, (int[]){ good, file }, 2) == -EBADF);
	CHECK(send_base(0, LEN, (int[]){ good, pair[1] }, 2) == 0);
	CHECK(send_base(0, LEN, (int[]){ good, pair[1] }, 2) == -EBUSY);
	CHECK(query(0) == -ENODEV && blank(0, PAGE) == -ENODEV);
	CHECK(end() == 0);
	close(good);
	close(loose);
	close(file);
	close(pair[0]);
	close(pair[1]);
}

/* Tells the library of a base and forgets it; returns the error. */
static int offer_base(int i)
{
	int base = make_base(LEN, SEALS), pair[2], err = 1;

	if (!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err = send_base(i, LEN, (int[]){ base, pair[1] }, 2);
	close(base);
	close(pair[0]);
	close(pair[1]);
	return err;
}

static void locked_memory_is_refused(void)
{
	CHECK(spawn(NULL) && ask("hello", 0, 0, 0) == 0 && take(0));
	CHECK(ask("lock", 0, 0, 0) == 0);
	CHECK(offer_base(0) == -EPERM && end() == 0);
}

/* Where there is something against it. */
static int base_beside(const char *option)
{
	if (!spawn(option) || ask("hello", 0, 0, 0) || !take(0))
		return 1;
	return offer_base(0);
}

/* What is made later than the device of the share is known by its option. */
static void foreign_devices_are_refused(void)
{
	static const struct { const char *option, *name; } foreign[] = {
		{ "-device vfio-pci,host=01:00.0", "VFIO" },
		{ "--device {\"driver\":\"vfio-pci\",\"id\":\"x\"}", "VFIO" },
		{ "-netdev type=vhost-vdpa,id=x", "vDPA" },
		{ "-device vhost-user-fs-pci,chardev=x", "vhost-user" },
		{ "-netdev vhost-user,chardev=x,id=n", "vhost-user" },
	};
	static const char *const ours[] = {
		"-device vhost-user-test-device-pci,chardev=x",
		"-device vhost-user-device-pci,chardev=x",
		"-chardev socket,id=x,path=/run/vhost-user.sock",
		"-device vhost-vsock-pci,id=x,guest-cid=3",
	};

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		CHECK(base_beside(foreign[i].option) == -EPERM);
		CHECK(said(foreign[i].name) && end() == 0);
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		CHECK(base_beside(ours[i]) == 0 && end() == 0);
}

/* A device that memory was mapped for is there, whatever its name was. */
static void devices_do_not_pin_the_window(void)
{
	CHECK(begin());
	for (int iommufd = 0; iommufd < 2; iommufd++) {
		CHECK(ask("pin", iommufd, 3 * PAGE, 0) == 0);
		CHECK(ask("pin", iommufd, 2 * LEN, 0) == 1);
	}
	CHECK(said("VFIO with a DAX window: its devices do not reach"));
	/* To a share that comes later it is told. */
	CHECK(take(1) && offer_base(1) == -EPERM && said("VFIO"));
	CHECK(end() == 0);
}

/* A back-end that is added later gets the base, in which it sees nothing. */
static void a_foreign_back_end_is_told_of(void)
{
	int file = make_file(1, 1);

	CHECK(begin());
	CHECK(ask("pass", getpid(), file, 0) == 0 && !said("back-end"));
	CHECK(ask("pass", getpid(), bases[0], 0) == 0 && said("back-end"));
	CHECK(end() == 0);
	close(file);
}

static void the_base_is_aligned(void)
{
	uint64_t addr;

	CHECK(spawn(NULL) && ask("hello", 0, 0, 0) == 0 && begin_share(0, LEN));
	CHECK(query(0) == -ENODEV);
	addr = qemu_maps(0, LEN);
	CHECK(addr && !(addr & (HUGE - 1)) && query(0) == 0);
	CHECK(end() == 0);
}

static void files_are_shown(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && file >= 0);
	CHECK(get(3 * PAGE) == 0);
	CHECK(map(file, 2 * PAGE, 4 * PAGE, 3 * PAGE) == 0);
	CHECK(get(3 * PAGE) == 3 && get(7 * PAGE - 1) == 6 && !get(7 * PAGE));
	CHECK(set(3 * PAGE, 77) == 77 && byte_of(file, 2 * PAGE) == 77);
	/* A part of it is replaced; the rest stays. */
	CHECK(map(file, 7 * PAGE, PAGE, 4 * PAGE) == 0);
	CHECK(get(3 * PAGE) == 77 && get(4 * PAGE) == 8 && get(5 * PAGE) == 5);
	CHECK(blank(4 * PAGE, 2 * PAGE) == 0);
	CHECK(get(3 * PAGE) == 77 && !get(4 * PAGE) && get(6 * PAGE) == 6);
	CHECK(blank(0, LEN) == 0 && ask("dirty", 0, LEN, 0) == 0);
	CHECK(end() == 0);
	close(file);
}

static void stores_stay_private(void)
{
	int file = make_file(1, 8), readonly = reopen(file, O_RDONLY);

	CHECK(begin() && readonly >= 0);
	CHECK(map_flags(readonly, 0, 2 * PAGE, 0, WINDOW_PRIVATE) == 0);
	CHECK(get(PAGE) == 2 && set(PAGE, 99) == 99 && get(PAGE) == 99);
	CHECK(byte_of(file, PAGE) == 2);
	/* To map it anew ends what was stored. */
	CHECK(map(file, 0, 2 * PAGE, 0) == 0 && get(PAGE) == 2);
	/* What cannot be mapped leaves nothing. */
	CHECK(map(readonly, 0, PAGE, PAGE) == -EACCES);
	CHECK(get(0) == 1 && get(PAGE) == 0 && set(PAGE, 5) == 5);
	CHECK(byte_of(file, 0) == 1 && byte_of(file, PAGE) == 2);
	CHECK(end() == 0);
	close(file);
	close(readonly);
}

/* Bytes of memory of the stand-in's own in the window of share 0. */
static uint64_t own_memory(void)
{
	uint64_t start, kib, sum = 0;
	char path[64], line[512];
	bool inside = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", child);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-'))
			inside = start - window_addr < LEN;
		else if (sscanf(line, "Anonymous: %lu", &kib) == 1 && inside)
			sum += kib << 10;
	}
	if (file)
		fclose(file);
	return sum;
}

/* What a guest stores where it may only read is memory of QEMU's, up to a bound. */
static void private_stores_are_bounded(void)
{
	int file = make_file(0, 1), readonly = reopen(file, O_RDONLY);

	CHECK(!ftruncate(file, LEN) && begin());
	for (int round = 0; round < 3; round++) {
		CHECK(map_flags(readonly, 0, LEN, 0, WINDOW_PRIVATE) == 0);
		CHECK(own_memory() == 0);
		CHECK(ask("fill", 0, LEN, 0) == 0 && get(LEN - PAGE) == 1);
		CHECK(own_memory() == LEN);
		CHECK(byte_of(file, LEN - PAGE) == 0);
	}
	CHECK(blank(0, LEN) == 0 && own_memory() == 0);
	CHECK(end() == 0);
	close(file);
	close(readonly);
}

static void messages_are_checked(void)
{
	struct window_msg msg = {
		.op = WINDOW_MAP, .offset = PAGE, .len = PAGE,
	};
	int file = make_file(1, 8), tty = open("/dev/null", O_RDWR);

	CHECK(begin());
	CHECK(map(-1, 0, PAGE, 0) == -EINVAL && map(tty, 0, PAGE, 0) == -EBADF);
	CHECK(map(file, 1, PAGE, 0) == -EINVAL);
	CHECK(map(file, 0, PAGE + 1, 0) == -EINVAL);
	CHECK(map(file, 0, 0, 0) == -EINVAL);
	CHECK(map(file, 0, PAGE, 1) == -EINVAL);
	CHECK(map(file, 0, PAGE, LEN) == -EINVAL);
	CHECK(map(file, 0, 2 * PAGE, LEN - PAGE) == -EINVAL);
	CHECK(map(file, 0, PAGE, -PAGE) == -EINVAL);
	CHECK(map(file, 0, -PAGE, 2 * PAGE) == -EINVAL);
	CHECK(map(file, INT64_MAX & -PAGE, 2 * PAGE, 0) == -EINVAL);
	CHECK(map_flags(file, 0, PAGE, 0, 2) == -EINVAL);
	CHECK(blank(0, 0) == -EINVAL && blank(0, LEN + PAGE) == -EINVAL);
	CHECK(blank(LEN, PAGE) == -EINVAL && blank(1, PAGE) == -EINVAL);
	CHECK(send_msg(0, &msg, file) == 0);
	CHECK(send_raw(0, &msg, sizeof(msg), (int[]){ file, file }, 2) ==
	      -EINVAL);
	CHECK(send_raw(0, &msg, sizeof(msg), (int[]){ file, file, file }, 3) ==
	      -EINVAL);
	CHECK(send_raw(0, &msg, sizeof(msg) - 1, &file, 1) == -EINVAL);
	CHECK(send_raw(0, &(struct window_msg[2]){ msg }, 2 * sizeof(msg),
		       &file, 1) == -EINVAL);
	msg.op = 0;
	CHECK(send_msg(0, &msg, file) == -EOPNOTSUPP);
	msg.op = WINDOW_BLANK + 1;
	CHECK(send_msg(0, &msg, file) == -EOPNOTSUPP);
	msg.op = WINDOW_BLANK;
	CHECK(send_msg(0, &msg, file) == -EINVAL);
	CHECK(get(PAGE) == 1 && get(0) == 0);
	CHECK(end() == 0);
	close(file);
	close(tty);
}

static uint64_t bytes_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? UINT64_MAX : (uint64_t)st.st_blocks * 512;
}

static void nothing_costs_little(void)
{
	CHECK(begin());
	CHECK(ask("fill", 0, LEN, 0) == 0);
	/* A tile of it and no more; and what was stored there can be got rid of. */
	CHECK(bytes_of(bases[0]) == HUGE);
	CHECK(ask("dirty", 0, LEN, 0) == LEN / PAGE);
	CHECK(blank(0, LEN) == 0);
	CHECK(bytes_of(bases[0]) == 0 && ask("dirty", 0, LEN, 0) == 0);
	CHECK(end() == 0);
}

static bool reported(uint64_t offset, uint64_t len)
{
	struct pollfd pollfd = { .fd = reports[0], .events = POLLIN };
	struct window_report report;

	return poll(&pollfd, 1, 5000) == 1 &&
	       recv(reports[0], &report, sizeof(report), 0) ==
	       sizeof(report) && report.offset == offset && report.len == len &&
	       !report.missed;
}

static bool no_report(void)
{
	struct pollfd pollfd = { .fd = reports[0], .events = POLLIN };

	return poll(&pollfd, 1, 0) == 0;
}

static void what_is_gone_is_zeros(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 0) == 0 && get(7 * PAGE) == 8);
	CHECK(!ftruncate(file, PAGE));
	CHECK(get(0) == 1 && get(5 * PAGE + 17) == 0);
	CHECK(reported(5 * PAGE, PAGE));
	CHECK(set(6 * PAGE, 9) == 9 && get(6 * PAGE) == 9);
	CHECK(reported(6 * PAGE, PAGE) && no_report());
	/* It does not come back by itself, as it may have been stored to. */
	CHECK(!ftruncate(file, 8 * PAGE));
	CHECK(pwrite(file, "x", 1, 6 * PAGE) == 1);
	CHECK(get(6 * PAGE) == 9 && get(7 * PAGE) == 0);
	CHECK(map(file, 0, 8 * PAGE, 0) == 0 && get(6 * PAGE) == 'x');
	CHECK(no_report() && end() == 0);
	close(file);
}

static void other_signals_are_left_alone(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 0) == 0);
	CHECK(!strcmp(ask_words("foreign"), "caught"));
	/* A thread that blocks all signals does not block this one. */
	CHECK(!ftruncate(file, PAGE) && ask("blocked", 2 * PAGE, 0, 0) == 0);
	CHECK(reported(2 * PAGE, PAGE) && no_report());
	/* Without anybody who wants it, it ends the process. */
	kill(child, SIGBUS);
	CHECK(get(0) == -1 && end() == -SIGBUS);
	close(file);
}

/* Who sees zeros may store to them, and ask whether that has come to nothing. */
static void it_is_told_before_it_is_seen(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 0) == 0);
	CHECK(!ftruncate(file, PAGE));
	/* Once, as well: what the first has stored there is not to be covered. */
	for (int i = 0; i < 20; i++) {
		CHECK(map(file, 0, 8 * PAGE, 0) == 0);
		CHECK(ask("second", 2 * PAGE, 0, 0) == 0 && !no_report());
		CHECK(reported(2 * PAGE, PAGE) && no_report());
	}
	CHECK(end() == 0);
	close(file);
}

/* KVM_RUN fails for a page that is not there, and is called once more. */
static void kvm_is_mended(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 4 * HUGE) == 0);
	CHECK(!strcmp(ask_words("kvm 0"), "0") && no_report());
	CHECK(!ftruncate(file, 3 * PAGE));
	CHECK(!strcmp(ask_words("kvm 8400896"), "0"));
	CHECK(reported(4 * HUGE + 3 * PAGE, 5 * PAGE) && no_report());
	CHECK(get(4 * HUGE + 2 * PAGE) == 3);
	/* What is not the window's is QEMU's. */
	CHECK(!strcmp(ask_words("kvm 4611686018427387904"), "-12"));
	CHECK(end() == 0);
	close(file);
}

/* A page that can be read, but not stored to, as its file system is full. */
static void kvm_is_mended_for_stores(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 2 * HUGE) == 0);
	CHECK(map_flags(file, 0, 8 * PAGE, 4 * HUGE, WINDOW_PRIVATE) == 0);
	CHECK(ask("full", 2 * HUGE + 3 * PAGE, 0, 0) == 0);
	CHECK(ask("kvm", 2 * HUGE + 3 * PAGE, 0, 0) == 0 && no_report());
	CHECK(ask("store", 2 * HUGE + 3 * PAGE, 0, 0) == 0);
	CHECK(reported(2 * HUGE + 3 * PAGE, PAGE) && no_report());
	CHECK(get(2 * HUGE + 3 * PAGE) == 0 && get(2 * HUGE + 2 * PAGE) == 3);
	/* What is the guest's own is not filled in search of it. */
	CHECK(ask("full", 4 * HUGE + 3 * PAGE, 0, 0) == 0);
	CHECK(!strcmp(ask_words("store 8400896"), "-14") && no_report());
	CHECK(end() == 0);
	close(file);
}

/*
 * Whole ranges are read only where something is lacking, and what is behind that is
 * left alone.
 */
static void kvm_reads_one_range(void)
{
	const uint64_t pages = HUGE / PAGE;
	int whole = make_file(0, 1), cut = make_file(1, 1);
	uint64_t before;

	CHECK(begin() && !ftruncate(whole, HUGE) && !ftruncate(cut, HUGE));
	for (int i = 0; i < 20; i++)
		CHECK(map(i == 15 ? cut : whole, 0, HUGE, i * HUGE) == 0);
	CHECK(!ftruncate(cut, HUGE - 5 * PAGE));
	before = ask("populated", 0, 0, 0);
	CHECK(ask("kvm", 15 * HUGE + 510 * PAGE, 0, 0) == 0);
	CHECK(reported(15 * HUGE + 507 * PAGE, 5 * PAGE) && no_report());
	/* KVM itself tries it twice. */
	CHECK(ask("populated", 0, 0, 0) - before == 16 + pages + 2);
	CHECK(get(15 * HUGE) == 1 && end() == 0);
	close(whole);
	close(cut);
}

/* Each search ends at the first piece that lacks something. */
static void kvm_is_mended_piece_by_piece(void)
{
	int file = make_file(1, 8);

	CHECK(begin());
	for (int i = 2; i < 12; i += 2)
		CHECK(map(file, 0, 8 * PAGE, i * HUGE) == 0);
	CHECK(!ftruncate(file, 7 * PAGE));
	CHECK(ask("kvm", 6 * HUGE + 7 * PAGE, 0, 0) == 0);
	for (int i = 2; i <= 6; i += 2)
		CHECK(reported(i * HUGE + 7 * PAGE, PAGE));
	CHECK(no_report());
	CHECK(ask("kvm", 10 * HUGE + 7 * PAGE, 0, 0) == 0);
	CHECK(reported(8 * HUGE + 7 * PAGE, PAGE));
	CHECK(reported(10 * HUGE + 7 * PAGE, PAGE) && no_report());
	CHECK(end() == 0);
	close(file);
}

/* Memory of the host is, of which QEMU is told by the same signal. */
static void broken_memory_is_zeros(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 0) == 0);
	CHECK(ask("broken", 2 * PAGE, 0, 0) == 0 && reported(2 * PAGE, PAGE));
	CHECK(get(PAGE) == 2 && end() == 0);
	close(file);
}

static void a_replacement_is_atomic(void)
{
	int a = make_file(1, 1), b = make_file(2, 1);

	CHECK(begin() && map(a, 0, PAGE, 8 * PAGE) == 0);
	CHECK(ask("watch", 8 * PAGE + 5, 0, 0) == 0);
	for (int i = 0; i < 2000; i++)
		CHECK(map(i & 1 ? a : b, 0, PAGE, 8 * PAGE) == 0);
	CHECK(!strcmp(ask_words("seen"), "1 2 ") && no_report());
	CHECK(end() == 0);
	close(a);
	close(b);
}

/* Zeros for a page that is gone never cover what has been shown since. */
static void the_new_is_never_covered(void)
{
	int gone = memfd_create("gone", MFD_CLOEXEC), file = make_file(7, 1);
	unsigned int zeros = 0;
	struct window_report report;

	CHECK(begin() && map(file, 0, PAGE, 0) == 0);
	CHECK(ask("watch", 17, 0, 0) == 0);
	for (int i = 0; i < 3000; i++) {
		CHECK(map(gone, 0, PAGE, 0) == 0);
		if (i % 3)
			usleep(i % 7);
		CHECK(map(file, 0, PAGE, 0) == 0);
		CHECK(get(17) == 7);
		while (recv(reports[0], &report, sizeof(report),
			    MSG_DONTWAIT) > 0)
			zeros++;
	}
	CHECK(!strcmp(ask_words("seen"), "0 7 ") && get(17) == 7);
	CHECK(zeros > 10 && end() == 0);
	close(gone);
	close(file);
}

static void code_is_dropped(void)
{
	int file = make_file(1, 2);
	unsigned long calls, bytes, last, wrong;

	CHECK(begin());
	/* Memory may have been there before: the first time anything may be. */
	CHECK(map(file, 0, 2 * PAGE, 2 * HUGE) == 0 &&
	      blank(2 * HUGE, HUGE) == 0);
	CHECK(sscanf(ask_words("code"), "%lu %lu %lx %lu", &calls, &bytes,
		     &last, &wrong) == 4);
	CHECK(calls == 2 && bytes == 2 * PAGE + HUGE && !wrong &&
	      last == (UINT64_C(4) << 30) + 3 * HUGE - 1);
	/* Where nothing was shown since there is none. */
	CHECK(map(file, 0, 2 * PAGE, 2 * HUGE) == 0);
	CHECK(ask("code", 0, 0, 0) == 2);
	CHECK(map(file, 0, PAGE, 2 * HUGE) == 0);
	CHECK(ask("code", 0, 0, 0) == 3);
	/* With KVM there never is. */
	CHECK(ask("tcg", 0, 0, 0) == 0 && map(file, 0, PAGE, 2 * HUGE) == 0);
	CHECK(ask("code", 0, 0, 0) == 3);
	CHECK(end() == 0);
	close(file);
}

/* QEMU maps a part of a file by itself, where it had another before. */
static void code_of_stock_maps_is_dropped(void)
{
	CHECK(spawn(NULL));
	for (int i = 0; i < SHARES; i++)
		close(listeners[i]);
	CHECK(ask("hello", 0, 0, 0) == 0);
	CHECK(ask("stock", 8 * PAGE, 0, 0) == 8 * PAGE);
	CHECK(ask("stock", 5 * PAGE, 0, 0) == 13 * PAGE);
	CHECK(ask("tcg", 0, 0, 0) == 0 && ask("stock", PAGE, 0, 0) == 13 * PAGE);
	CHECK(end() == 0);
}

/* QEMU unmaps the base when the device is reset, and maps it anew elsewhere. */
static void a_reset_makes_it_anew(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 0) == 0);
	CHECK(set(9 * PAGE, 3) == 3);
	CHECK(ask("unbase", 0, 0, 0) == 0);
	CHECK(query(0) == -ENODEV && map(file, 0, PAGE, 0) == -ENODEV);
	CHECK(blank(0, LEN) == -ENODEV);
	CHECK(qemu_maps(0, LEN) && query(0) == 0 && get(0) == 0);
	CHECK(map(file, 0, 8 * PAGE, HUGE) == 0 && get(HUGE + PAGE) == 2);
	CHECK(end() == 0);
	close(file);
}

static void two_shares(void)
{
	int file = make_file(1, 8);
	const struct window_msg msg = { .op = WINDOW_MAP, .len = PAGE };

	CHECK(begin() && begin_share(1, 2 * LEN) && query(1) == -ENODEV);
	CHECK(qemu_maps(1, 2 * LEN) && query(1) == 0);
	CHECK(send_msg(1, &msg, file) == 0 && ask("get", 1, 0, 0) == 1);
	CHECK(get(0) == 0 && map(file, PAGE, PAGE, 0) == 0 && get(0) == 2);
	CHECK(ask("get", 1, 0, 0) == 1 && blank(0, LEN) == 0);
	CHECK(ask("get", 1, 0, 0) == 1);
	/* One that has gone leaves what it has shown, and the other alone. */
	close(conns[0]);
	conns[0] = -1;
	CHECK(send_msg(1, &msg, file) == 0 && ask("get", 1, 0, 0) == 1);
	CHECK(end() == 0);
	close(file);
}

static void a_daemon_that_dies_leaves_all(void)
{
	int file = make_file(1, 8);

	CHECK(begin() && map(file, 0, 8 * PAGE, 0) == 0);
	close(conns[0]);
	close(reports[0]);
	conns[0] = reports[0] = -1;
	CHECK(get(PAGE) == 2 && set(PAGE, 50) == 50 &&
	      byte_of(file, PAGE) == 50);
	/* The shield does not need it. */
	CHECK(!ftruncate(file, PAGE) && get(2 * PAGE) == 0);
	CHECK(ask("unbase", 0, 0, 0) == 0 && end() == 0);
	close(file);
}

static void it_may_fork(void)
{
	int file = make_file(1, 8);

	CHECK(begin_with("-daemonize"));
	CHECK(map(file, 0, 8 * PAGE, 0) == 0 && get(PAGE) == 2);
	CHECK(!ftruncate(file, PAGE) && get(2 * PAGE) == 0);
	CHECK(end() == 0);
	close(file);
}

static void a_qemu_without_the_daemon(void)
{
	CHECK(spawn(NULL));
	for (int i = 0; i < SHARES; i++)
		close(listeners[i]);
	CHECK(ask("hello", 0, 0, 0) == 0);
	CHECK(!strcmp(ask_words("foreign"), "caught") && end() == 0);
}

/* Something of which a part is wrong, more often than not. */
static uint64_t random_number(void)
{
	static const uint64_t special[] = {
		0, 1, PAGE, HUGE, LEN, LEN - PAGE, INT64_MAX, UINT64_MAX,
		-PAGE, INT64_MAX - PAGE + 1,
	};
	uint64_t n = random();

	switch (n % 4) {
	case 0:
		return special[n / 4 % (sizeof(special) / sizeof(special[0]))];
	case 1:
		return n / 4 % (LEN / PAGE) * PAGE;
	case 2:
		return n / 4 % 64 * PAGE;
	}
	return n << 32 | random();
}

static struct window_msg plausible_msg(void)
{
	uint64_t page = random() % (LEN / PAGE);

	return (struct window_msg){
		.op = random() % 3 ? WINDOW_MAP : WINDOW_BLANK,
		.offset = page * PAGE,
		.len = (1 + random() % (LEN / PAGE - page)) * PAGE,
	};
}

/* What comes next is right all the same. */
static void garbage(void)
{
	int file = make_file(1, 8), readonly = reopen(file, O_RDONLY), pair[2];
	unsigned int taken = 0;

	srandom(4711);
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	CHECK(begin());
	for (int i = 0; i < 100000; i++) {
		const int all[] = { file, readonly, bases[0], pair[0], 0 };
		int fds[FD_PASS_MAX];
		unsigned int num_fds = random() % 3;
		struct window_msg msg[2] = { {
			.op = random() % 6,
			.flags = random() % 8 ? random() % 2 : random(),
			.offset = random_number(),
			.len = random_number(),
			.file_offset = random_number(),
		} };
		size_t len = random() % 8 ? sizeof(msg[0]) :
			     1 + random() % sizeof(msg);
		int err;

		for (unsigned int j = 0; j < FD_PASS_MAX; j++)
			fds[j] = all[random() % 5];
		if (i % 4 == 0) {
			msg[0] = plausible_msg();
			len = sizeof(msg[0]);
			num_fds = msg[0].op == WINDOW_MAP;
		}
		err = send_raw(0, msg, len, fds, num_fds);
		CHECK(err <= 0);
		taken += !err;
		if (i % 1000 == 0)
			CHECK(ask("fill", 0, LEN, 0) == 0);
	}
	CHECK(taken > 1000);
	printf("# %u of 100000 were obeyed\n", taken);
	CHECK(!ftruncate(file, 0));
	file = make_file(1, 8);
	CHECK(blank(0, LEN) == 0 && ask("dirty", 0, LEN, 0) == 0);
	CHECK(map(file, 0, 8 * PAGE, 0) == 0 && get(7 * PAGE) == 8);
	CHECK(end() == 0);
}

static unsigned int descriptors(void)
{
	unsigned int count = 0;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", child);
	dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

/* A message that says nothing ends the connection, as the daemon's end does. */
static void no_descriptor_stays(void)
{
	const int file = make_file(1, 8), fds[] = { file, file, file };
	struct pollfd pollfd;
	unsigned int before;

	CHECK(begin());
	before = descriptors();
	CHECK(map(file, 0, 8 * PAGE, 0) == 0 && descriptors() == before);
	CHECK(send_raw(0, "", 1, fds, 3) == -EINVAL && descriptors() == before);
	CHECK(send_raw(0, "", 0, fds, 3) == 1);
	pollfd = (struct pollfd){ .fd = conns[0], .events = POLLIN };
	CHECK(poll(&pollfd, 1, 5000) == 1 && pollfd.revents & POLLHUP);
	for (int i = 0; i < 100 && descriptors() >= before; i++)
		usleep(10000);
	CHECK(descriptors() == before - 1);
	CHECK(get(7 * PAGE) == 8 && end() == 0);
	close(file);
}

/* As many maps as Linux allows: QEMU lives, and they can be given back. */
static void maps_run_out(void)
{
	int file = make_file(1, 8), err = 0;
	struct window_msg msg = { .op = WINDOW_MAP, .len = PAGE };
	uint64_t i;

	CHECK(begin() && begin_share(1, 4 * LEN) && qemu_maps(1, 4 * LEN));
	CHECK(map(file, 0, 8 * PAGE, 0) == 0);
	CHECK(map(file, 0, PAGE, HUGE) == 0 && !ftruncate(file, PAGE));
	for (i = 0; i < 4 * LEN / PAGE && !err; i++) {
		msg.offset = i * PAGE;
		msg.file_offset = i * 2 % 8 * PAGE;
		err = send_msg(1, &msg, file);
	}
	CHECK(err == -ENOMEM && i > 50000);
	/* A page can still be lost, if with more; what cannot be shown leaves none. */
	CHECK(get(2 * PAGE) == 0 && get(0) == 0 && reported(0, HUGE));
	CHECK(get(HUGE) == 1 && map(file, 0, PAGE, HUGE) == -ENOMEM);
	CHECK(get(HUGE) == 0 && no_report());
	msg = (struct window_msg){ .op = WINDOW_BLANK, .len = 4 * LEN };
	CHECK(send_msg(1, &msg, -1) == 0);
	CHECK(map(file, 0, 8 * PAGE, 0) == 0 && get(0) == 1);
	CHECK(end() == 0);
	close(file);
}

/* What Linux allows a process if nobody has said anything else. */
#define MAPS_DEFAULT 65530

/* Of these sanitizers make some now and then. */
#define OWN_MAPS 16

/* How many maps the stand-in has. */
static unsigned int count_maps(void)
{
	char path[64], line[512];
	unsigned int count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		count += strchr(line, '\n') != NULL;
	if (file)
		fclose(file);
	return count;
}

/* One share takes what there is; pages of the other are lost, and never let go. */
static void thousands_of_pages_are_lost(void)
{
	int file = make_file(1, 8), lost = memfd_create("lost", MFD_CLOEXEC);
	struct window_msg msg = { .op = WINDOW_MAP, .len = PAGE };
	unsigned int maps;

	CHECK(begin() && begin_share(1, 4 * LEN) && qemu_maps(1, 4 * LEN));
	CHECK(!ftruncate(lost, LEN) && map(lost, 0, LEN, 0) == 0);
	for (uint64_t i = 0; i < 4 * LEN / PAGE; i++) {
		msg.offset = i * PAGE;
		msg.file_offset = i * 2 % 8 * PAGE;
		if (send_msg(1, &msg, file))
			break;
	}
	CHECK(!ftruncate(lost, 0));
	maps = count_maps();
	CHECK(maps > 50000);
	for (uint64_t i = 0; i < LEN; i += 2 * PAGE)
		CHECK(get(i) == 0);
	printf("# maps: %u, then %u\n", maps, count_maps());
	/* But for some of the stand-in's own. */
	CHECK(count_maps() <= maps + OWN_MAPS);
	/* What is beside a page may have gone with it, but not for good. */
	msg = (struct window_msg){ .op = WINDOW_BLANK, .len = 4 * LEN };
	CHECK(send_msg(1, &msg, -1) == 0);
	CHECK(map(file, 0, 8 * PAGE, 0) == 0 && get(PAGE) == 2);
	CHECK(end() == 0);
	close(file);
	close(lost);
}

/* Each page of zeros takes a map, or two; of what is there some is left to QEMU. */
static void zeros_are_bounded(void)
{
	int file = make_file(1, 8), lost = memfd_create("lost", MFD_CLOEXEC);
	struct window_msg msg = { .op = WINDOW_MAP, .len = 4 * LEN };
	unsigned int maps, most;

	CHECK(begin() && begin_share(1, 4 * LEN) && qemu_maps(1, 4 * LEN));
	CHECK(map(file, 0, PAGE, 0) == 0 && get(0) == 1);
	maps = count_maps();
	CHECK(!ftruncate(lost, 4 * LEN) && send_msg(1, &msg, lost) == 0);
	CHECK(!ftruncate(lost, 0));
	most = maps;
	for (uint64_t i = 0; i < 4 * LEN; i += 2 * PAGE) {
		CHECK(ask("get", 1, i, 0) == 0);
		if (i % HUGE == 0 && count_maps() > most)
			most = count_maps();
	}
	printf("# maps: %u, at most %u, then %u\n", maps, most, count_maps());
	CHECK(most > 50000 && count_maps() < MAPS_DEFAULT - 512);
	/* What they have taken is had again with what is shown next. */
	msg.op = WINDOW_BLANK;
	CHECK(send_msg(1, &msg, -1) == 0 && get(0) == 1);
	msg.op = WINDOW_MAP;
	CHECK(!ftruncate(lost, 4 * LEN) && send_msg(1, &msg, lost) == 0);
	CHECK(count_maps() <= maps + OWN_MAPS);
	CHECK(end() == 0);
	close(file);
	close(lost);
}

/* What is left of a file in a part that is to be blank is no secret. */
static void a_blank_that_fails_is_told(void)
{
	int file = make_file(1, 8), err = 0;
	struct window_msg msg = { .op = WINDOW_MAP, .len = 3 * PAGE };
	uint64_t i, failed, end_of_maps;

	CHECK(begin() && begin_share(1, 16 * LEN) && qemu_maps(1, 16 * LEN));
	for (i = 0; i < 16 * LEN / PAGE - 3 && !err; i += 3) {
		msg.offset = i * PAGE;
		msg.file_offset = i % 2 * 4 * PAGE;
		err = send_msg(1, &msg, file);
	}
	CHECK(err == -ENOMEM);
	end_of_maps = msg.offset;
	/* Each cuts one in two. */
	msg = (struct window_msg){ .op = WINDOW_BLANK, .len = PAGE,
				   .offset = PAGE };
	for (err = 0; msg.offset < end_of_maps && !err;
	     msg.offset += 3 * PAGE)
		err = send_msg(1, &msg, -1);
	CHECK(err == -ENOMEM);
	failed = msg.offset - 3 * PAGE;
	CHECK(ask("get", 1, failed, 0) != 0);
	CHECK(ask("get", 1, failed - 3 * PAGE, 0) == 0);
	/* With what is beside it it does not fail. */
	msg.offset = failed - PAGE;
	msg.len = 3 * PAGE;
	CHECK(send_msg(1, &msg, -1) == 0 && ask("get", 1, failed, 0) == 0);
	CHECK(end() == 0);
	close(file);
}

static const struct fs_test tests[] = {
	TEST(nothing_before_the_base),
	TEST(a_base_is_checked),
	TEST(locked_memory_is_refused),
	TEST(foreign_devices_are_refused),
	TEST(devices_do_not_pin_the_window),
	TEST(a_foreign_back_end_is_told_of),
	TEST(the_base_is_aligned),
	TEST(files_are_shown),
	TEST(stores_stay_private),
	TEST(private_stores_are_bounded),
	TEST(messages_are_checked),
	TEST(nothing_costs_little),
	TEST(what_is_gone_is_zeros),
	TEST(other_signals_are_left_alone),
	TEST(it_is_told_before_it_is_seen),
	TEST(kvm_is_mended),
	TEST(kvm_is_mended_for_stores),
	TEST(kvm_reads_one_range),
	TEST(kvm_is_mended_piece_by_piece),
	TEST(broken_memory_is_zeros),
	TEST(a_replacement_is_atomic),
	TEST(the_new_is_never_covered),
	TEST(code_is_dropped),
	TEST(code_of_stock_maps_is_dropped),
	TEST(a_reset_makes_it_anew),
	TEST(two_shares),
	TEST(a_daemon_that_dies_leaves_all),
	TEST(it_may_fork),
	TEST(a_qemu_without_the_daemon),
	TEST(garbage),
	TEST(no_descriptor_stays),
	TEST(maps_run_out),
	TEST(thousands_of_pages_are_lost),
	TEST(zeros_are_bounded),
	TEST(a_blank_that_fails_is_told),
};

int main(int argc, char **argv)
{
	int ret;

	if (argc < 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	qemu_path = argv[1];
	kvm_path = argv[2];
	library_path = argc > 3 && *argv[3] ? argv[3] : NULL;
	ret = run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			argc > 4 ? argv[4] : NULL);
	if (child >= 0)
		kill(child, SIGKILL);
	return ret;
}
