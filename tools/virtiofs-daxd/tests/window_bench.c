// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long a real QEMU takes to show a part of a file, and to take it away, with
 * so many others there. No test: it prints microseconds. Needs root. The guest is
 * a kernel with virtiofs, which need not find anything to run; QEMU does not take
 * maps before that has started the device.
 *
 *	window_bench stock|LIBRARY QEMU -kernel ... -append panic=0 \
 *		-chardev socket,id=fs,path=sock -device ...
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dax/backing.h"
#include "host/util.h"
#include "vhost/vhost_user.h"
#include "vhost/vu_backend.h"
#include "vhost/vu_socket.h"

#define WINDOW (UINT64_C(4) << 30)
#define STRIDE (UINT64_C(128) << 10)
#define LEN (UINT64_C(64) << 10)
#define SAMPLES 101
/* Stock maps kill QEMU soon behind this. */
#define STOCK_MAX 450

static struct vu_backend backend;
static struct queue queues[2];
static char dir[] = "/tmp/window-bench.XXXXXX";
static bool started;

static const struct {
	char tag[36];
	uint32_t num_request_queues;
} config = { "bench", 1 };

static void nothing(void)
{
}

static void on_start(void)
{
	__atomic_store_n(&started, true, __ATOMIC_RELEASE);
}

static int no_confinement(void)
{
	return 0;
}

static bool is_map(int fd)
{
	return backing_is_map(fd) || vu_window_is_base(fd);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double middle(double *values)
{
	qsort(values, SAMPLES, sizeof(*values), compare);
	return values[SAMPLES / 2];
}

static int show(int fd, unsigned int i)
{
	const struct vu_map map = {
		.fd = fd, .shm_offset = i * STRIDE, .len = LEN,
		.writable = true,
	};

	return vu_backend_map(&backend, &map);
}

/* With @live parts there, one after the other is taken away and shown again. */
static int measure(int fd, unsigned int live)
{
	double setup[SAMPLES], remove[SAMPLES];
	int err = 0;

	for (unsigned int i = 0; i < SAMPLES && !err; i++) {
		unsigned int at = i * 7919u % live;
		double start = now_us(), removed;

		err = vu_backend_unmap(&backend, at * STRIDE, LEN);
		removed = now_us();
		err = err ?: show(fd, at);
		remove[i] = removed - start;
		setup[i] = now_us() - removed;
	}
	if (!err)
		printf("%s live %u setup %.0f us remove %.0f us\n",
		       backend.one_map ? "one-map" : "stock", live,
		       middle(setup), middle(remove));
	fflush(stdout);
	return err;
}

static int measure_all(struct backing *backing)
{
	static const unsigned int levels[] = { 10, 200, 450, 2000, 20000 };
	int file = memfd_create("file", MFD_CLOEXEC), fd, err = 0;
	unsigned int live = 0;

	if (file < 0 || ftruncate(file, LEN))
		return -errno;
	fd = backing_open(backing, file);
	if (fd < 0)
		return fd;
	for (unsigned int i = 0; i < ARRAY_SIZE(levels) && !err; i++) {
		if (levels[i] > STOCK_MAX && !backend.one_map)
			break;
		while (live < levels[i] && !err)
			err = show(fd, live++);
		err = err ?: measure(fd, levels[i]);
	}
	return err;
}

static void *serve(void *vu)
{
	int ret;

	while ((ret = vhost_user_handle(vu)) == 1)
		;
	if (ret)
		fprintf(stderr, "window_bench: QEMU: %s\n", strerror(-ret));
	return NULL;
}

static pid_t start_qemu(const char *library, char **argv, const char *window)
{
	pid_t child = fork();

	if (child)
		return child;
	if (library) {
		setenv("LD_PRELOAD", library, 1);
		setenv("VIRTIOFS_DAX_WINDOW", window, 1);
	}
	if (chdir(dir))
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct guest_mem *mem = guest_mem_new();
	char sock[64], window[64];
	struct backing *backing = backing_new(no_confinement);
	struct vhost_user_device device = {
		.queues = queues, .num_queues = 2, .window = WINDOW,
		.config = &config, .config_len = sizeof(config),
		.is_map = is_map, .backend = &backend, .stopped = nothing, .reset = on_start,
	};
	int listener, library, conn, err;
	pthread_t thread;
	pid_t qemu;
	char byte;

	if (argc < 3 || !backing || !mkdtemp(dir))
		return 2;
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	snprintf(window, sizeof(window), "%s/window", dir);
	vu_backend_init(&backend);
	listener = vu_socket_listen(sock, SOCK_STREAM, (gid_t)-1);
	library = vu_socket_listen(window, SOCK_SEQPACKET,
				   (gid_t)-1);
	if (strcmp(argv[1], "stock"))
		backend.window = vu_window_new(WINDOW);
	for (unsigned int i = 0; i < 2; i++)
		queue_init(&queues[i], i, mem);
	qemu = start_qemu(backend.window ? argv[1] : NULL, argv + 2, window);
	conn = accept(listener, NULL, NULL);
	/* See connect_library() in main.c. */
	if (recv(conn, &byte, 1, MSG_PEEK) == 1 && backend.window)
		vu_window_accept(backend.window, library, conn);
	if (!vu_backend_settle(&backend, conn))
		return 2;
	pthread_create(&thread, NULL, serve,
		       vhost_user_new(&device, mem, conn));
	for (int i = 0; i < 120 && !started; i++)
		sleep(1);
	/* Until it has nothing to do. */
	sleep(5);
	err = measure_all(backing);
	if (err)
		fprintf(stderr, "window_bench: %s\n", strerror(-err));
	kill(qemu, SIGKILL);
	waitpid(qemu, NULL, 0);
	unlink(sock);
	unlink(window);
	rmdir(dir);
	return err != 0;
}
