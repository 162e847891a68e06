// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stands for QEMU in the tests of the library, which is loaded into it or linked
 * with it: it maps memory as QEMU does, has those functions of QEMU that the
 * library calls, and does what it is told on standard input, a line each; to each
 * it answers with a line.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
#define KVM_RUN 0xae80
#define BASES 2
#define READERS 4

/* Atomic, as is what else the library's thread has to do with. */
static struct { volatile unsigned char *addr; uint64_t len; } bases[BASES];

#define GET(value) __atomic_load_n(&(value), __ATOMIC_SEQ_CST)
#define SET(value, to) __atomic_store_n(&(value), to, __ATOMIC_SEQ_CST)
#define ADD(value, n) __atomic_add_fetch(&(value), n, __ATOMIC_SEQ_CST)

/* ---- what the library calls ---- */

bool tcg_allowed = true;
static __thread bool registered;
static struct { uint64_t calls, bytes, last, unregistered; } dropped;

void rcu_register_thread(void)
{
	registered = true;
}

/* Memory of the first base is at 4 GiB. */
uint64_t qemu_ram_addr_from_host(void *ptr)
{
	uint64_t offset = (char *)ptr - (char *)GET(bases[0].addr);

	return offset < GET(bases[0].len) ? (UINT64_C(4) << 30) + offset :
	       UINT64_MAX;
}

void tb_invalidate_phys_range(void *cpu, uint64_t start, uint64_t last)
{
	ADD(dropped.calls, 1);
	ADD(dropped.unregistered, cpu || !registered);
	ADD(dropped.bytes, last + 1 - start);
	SET(dropped.last, last);
}

/* ---- what it does ---- */

static void *reserve(uint64_t len)
{
	return mmap(NULL, len, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* A vhost-user message, which carries a descriptor if it is one. */
static void say(int sock, uint32_t request, uint32_t flags, int fd)
{
	uint32_t message[5] = { request, flags | 1, 8 };
	struct iovec iov = { message, sizeof(message) };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	sendmsg(sock, &msg, MSG_NOSIGNAL);
}

/* QEMU speaks to a back-end for the first time. */
static void cmd_hello(void)
{
	int pair[2] = { -1, -1 };

	printf("%d\n", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	say(pair[0], 1, 0, -1);
	close(pair[0]);
	close(pair[1]);
}

/* As qemu_ram_mmap(): addresses with a page to spare, then the file over them. */
static void cmd_base(int i, int pid, int fd, uint64_t len)
{
	char *addr = reserve(len + PAGE);
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	addr = mmap(addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    fd, 0);
	close(fd);
	SET(bases[i].addr, (void *)addr);
	SET(bases[i].len, len);
	printf("%#lx\n", (unsigned long)addr);
}

static void cmd_unbase(int i)
{
	munmap((void *)bases[i].addr, bases[i].len + PAGE);
	SET(bases[i].addr, NULL);
	SET(bases[i].len, 0);
	printf("ok\n");
}

/* How many bytes of a part are not zero, looking at each page's first. */
static void cmd_dirty(uint64_t at, uint64_t len)
{
	unsigned long n = 0;

	for (uint64_t i = 0; i < len; i += PAGE)
		n += bases[0].addr[at + i] != 0;
	printf("%lu\n", n);
}

static void cmd_fill(uint64_t at, uint64_t len)
{
	for (uint64_t i = 0; i < len; i += PAGE)
		bases[0].addr[at + i] = 1;
	printf("ok\n");
}

static sigjmp_buf foreign_jump;

static void on_foreign(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	siglongjmp(foreign_jump, 1);
}

/* A handler of QEMU's own, as it has for the time of a touch of its memory. */
static void cmd_foreign(void)
{
	struct sigaction action = { .sa_sigaction = on_foreign,
				    .sa_flags = SA_SIGINFO }, old, found;
	int fd = memfd_create("empty", 0);
	volatile char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	bool caught, ours;

	sigaction(SIGBUS, &action, &old);
	caught = sigsetjmp(foreign_jump, 1);
	if (!caught)
		(void)*page;
	sigaction(SIGBUS, &old, &found);
	ours = found.sa_sigaction == on_foreign &&
	       old.sa_handler == SIG_DFL;
	munmap((void *)page, PAGE);
	close(fd);
	printf("%s\n", caught && ours ? "caught" : "lost");
}

static void *touch_with_all_blocked(void *arg)
{
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	return (void *)(uintptr_t)bases[0].addr[(uintptr_t)arg];
}

static void cmd_blocked(uint64_t at)
{
	pthread_t thread;
	void *value;

	pthread_create(&thread, NULL, touch_with_all_blocked, (void *)at);
	pthread_join(thread, &value);
	printf("%lu\n", (unsigned long)value);
}

/* Reads a place that another thread has begun to read; reports are slow. */
static void cmd_second(uint64_t at)
{
	unsigned int *usecs = dlsym(RTLD_DEFAULT, "report_usecs");
	pthread_t first;

	*usecs = 60000;
	pthread_create(&first, NULL, touch_with_all_blocked, (void *)at);
	usleep(20000);
	printf("%d\n", bases[0].addr[at]);
	fflush(stdout);
	pthread_join(first, NULL);
	*usecs = 0;
}

/* Threads which look at a place all the time; each value that was seen counts. */
static struct {
	pthread_t threads[READERS];
	uint64_t at;
	bool stop;
	bool seen[256];
} readers;

static void *read_all_the_time(void *arg)
{
	while (!__atomic_load_n(&readers.stop, __ATOMIC_RELAXED)) {
		unsigned char value = bases[0].addr[readers.at];

		__atomic_store_n(&readers.seen[value], true, __ATOMIC_RELAXED);
	}
	return arg;
}

static void cmd_watch(uint64_t at)
{
	readers.at = at;
	readers.stop = false;
	memset(readers.seen, 0, sizeof(readers.seen));
	for (int i = 0; i < READERS; i++)
		pthread_create(&readers.threads[i], NULL, read_all_the_time,
			       NULL);
	printf("ok\n");
}

/* Prints the values, each once. */
static void cmd_seen(void)
{
	__atomic_store_n(&readers.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers.threads[i], NULL);
	for (int i = 0; i < 256; i++)
		if (readers.seen[i])
			printf("%d ", i);
	printf("\n");
}

static void cmd_kvm(uint64_t at, bool store)
{
	int *advice = dlsym(RTLD_DEFAULT, "kvm_advice");
	int ret;

	*advice = store ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	ret = ioctl(-1, KVM_RUN, bases[0].addr + at);

	printf("%d\n", ret ? -errno : 0);
}

/* A file by itself, as with stock maps; then QEMU answers that it is mapped. */
static void cmd_stock(uint64_t len)
{
	int fd = memfd_create("stock", MFD_CLOEXEC), pair[2] = { -1, -1 };
	char *addr;

	if (ftruncate(fd, len) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	addr = mmap(reserve(len), len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fd, 0);
	SET(bases[0].addr, (void *)addr);
	SET(bases[0].len, len);
	rcu_register_thread();
	say(pair[0], 9, 4, -1);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	printf("%lu\n", GET(dropped.bytes));
}

static void cmd_full(uint64_t at)
{
	volatile unsigned char **full = dlsym(RTLD_DEFAULT, "kvm_full");

	*full = bases[0].addr + at;
	printf("0\n");
}

/* QEMU passes a base on, to a back-end that somebody in another process is. */
static void cmd_pass(int pid, int fd)
{
	int pair[2] = { -1, -1 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	say(pair[0], 37, 0, fd);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	printf("ok\n");
}

/* QEMU has a device of the host map all memory, by VFIO or IOMMUFD. */
static void cmd_pin(bool iommufd, uint64_t at)
{
	struct {
		uint32_t words[2];
		uint64_t addr, iova, size;
	} vfio = { { sizeof(vfio) }, (uintptr_t)bases[0].addr + at, 0, PAGE };
	struct {
		uint32_t words[4];
		uint64_t addr, size, iova;
	} iommu = { { sizeof(iommu) }, (uintptr_t)bases[0].addr + at, PAGE, 0 };
	unsigned int *pins;
	int ret;

	pins = dlsym(RTLD_DEFAULT, "pins");
	*pins = 0;
	errno = 0;
	ret = iommufd ? ioctl(-1, 0x3b85, &iommu) : ioctl(-1, 0x3b71, &vfio);
	/* How many the device was told of. */
	printf("%d\n", ret ? -errno : (int)*pins);
}

/* A page of memory of the host is broken; the kernel says so by this. */
static void cmd_broken(uint64_t at)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = BUS_MCEERR_AR };

	info.si_addr = (void *)(bases[0].addr + at);
	for (int i = 0; i < 2; i++)
		syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS,
			&info);
	printf("%d\n", bases[0].addr[at]);
}

static void cmd_tcg(bool on)
{
	SET(tcg_allowed, on);
	printf("%d\n", on);
}

static bool command(const char *line)
{
	uint64_t a = 0, b = 0, c = 0, d = 0;
	char word[16] = "";

	sscanf(line, "%15s %lu %lu %lu %lu", word, &a, &b, &c, &d);
	if (!strcmp(word, "hello"))
		cmd_hello();
	else if (!strcmp(word, "base"))
		cmd_base(a, b, c, d);
	else if (!strcmp(word, "unbase"))
		cmd_unbase(a);
	else if (!strcmp(word, "get"))
		printf("%d\n", bases[a].addr[b]);
	else if (!strcmp(word, "set"))
		printf("%d\n", bases[a].addr[b] = c);
	else if (!strcmp(word, "dirty"))
		cmd_dirty(a, b);
	else if (!strcmp(word, "fill"))
		cmd_fill(a, b);
	else if (!strcmp(word, "foreign"))
		cmd_foreign();
	else if (!strcmp(word, "blocked"))
		cmd_blocked(a);
	else if (!strcmp(word, "second"))
		cmd_second(a);
	else if (!strcmp(word, "watch"))
		cmd_watch(a);
	else if (!strcmp(word, "seen"))
		cmd_seen();
	else if (!strcmp(word, "kvm"))
		cmd_kvm(a, false);
	else if (!strcmp(word, "populated"))
		printf("%lu\n", *(unsigned long *)dlsym(RTLD_DEFAULT, word));
	else if (!strcmp(word, "lock"))
		printf("%d\n", mlockall(MCL_FUTURE));
	else if (!strcmp(word, "stock"))
		cmd_stock(a);
	else if (!strcmp(word, "full"))
		cmd_full(a);
	else if (!strcmp(word, "pass"))
		cmd_pass(a, b);
	else if (!strcmp(word, "pin"))
		cmd_pin(a, b);
	else if (!strcmp(word, "broken"))
		cmd_broken(a);
	else if (!strcmp(word, "store"))
		cmd_kvm(a, true);
	else if (!strcmp(word, "tcg"))
		cmd_tcg(a);
	else if (!strcmp(word, "code"))
		printf("%lu %lu %#lx %lu\n", GET(dropped.calls),
		       GET(dropped.bytes), GET(dropped.last),
		       GET(dropped.unregistered));
	else
		return false;
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	char line[80];

	/* An allocator that somebody has preloaded may reserve addresses. */
	reserve(16 << 20);
	/* As -daemonize: the process that was started ends. */
	if (argc > 1 && !strcmp(argv[1], "-daemonize") && fork())
		_exit(0);
	while (fgets(line, sizeof(line), stdin) && command(line))
		;
	return 0;
}
