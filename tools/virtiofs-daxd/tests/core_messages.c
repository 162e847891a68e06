// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the daemon says to who starts it: each refusal names what was wrong and
 * what would be right.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fe_main.h"

static struct frontend fe;

/* Runs a daemon that does not start. */
static bool refused(int code, const char *const *options, const char *text)
{
	bool ok;

	fe_fork(&fe, options);
	ok = fe_wait(&fe) == code;
	ok = fe_said(&fe, text) && fe_lines(&fe) <= 2 && ok;
	fe_end(&fe);
	return ok;
}

#define REFUSED(code, text, ...)					\
	CHECK(refused(code, (const char *[]){ __VA_ARGS__, NULL }, text))

static void wrong_options(void)
{
	REFUSED(2, "unknown option --nonsense", "--nonsense");
	REFUSED(2, "unknown option -x", "-xfoo");
	REFUSED(2, "unknown option -o foo", "-ofoo");
	REFUSED(2, "unknown option -o foo=", "-o", "xattr,foo=1");
	REFUSED(2, "-o cache takes auto, coherent, always, metadata or never, not 'yes'",
		"-o", "cache=yes");
	REFUSED(2, "-o needs a value", "-o");
	REFUSED(2, "--readonly=x takes no value", "--readonly=x");
	REFUSED(2, "--tag needs a value", "--tag");
	REFUSED(2, "--help", "--nonsense");
}

static void wrong_values(void)
{
	REFUSED(2, "--dax-budget takes 1 to 30000, not '30001'",
		"--dax-budget", "30001");
	REFUSED(2, "--dax-budget of more than 480 needs --window-socket",
		"--dax-window", "64M", "--dax-budget", "1000");
	REFUSED(2, "--dax-budget needs --dax-window", "--dax-budget", "100");
	REFUSED(2, "--socket-path takes a path, not ''", "--socket-path", "");
	REFUSED(2, "--shared-dir takes a directory, not ''", "--shared-dir", "");
	REFUSED(2, "--log-file and --syslog", "--log-file", "/none/l",
		"--syslog");
	REFUSED(2, "--window-socket needs --dax-window", "--window-socket",
		"/none/window");
	REFUSED(2, "--num-queues takes 1 to 64, not '0'", "--num-queues", "0");
	REFUSED(2, "--thread-pool-size takes 0 to 256, not 'x'",
		"--thread-pool-size", "x");
	REFUSED(2, "--tag takes 1 to 36 bytes, not ''", "--tag", "");
	REFUSED(2, "--cache takes auto, coherent, always, metadata or never, not 'yes'",
		"--cache", "yes");
	REFUSED(2, "--dax-window takes a size, as in 512M or 1G, or auto, not '1Z'",
		"--dax-window", "1Z");
	REFUSED(2, "--dax-attr takes none, all or a size, as in 64K, not '?'",
		"--dax-attr", "?");
	REFUSED(2, "--cache=coherent needs --notifications", "--cache=coherent");
	REFUSED(2, "--cache=coherent: not with --writeback", "--cache=coherent",
		"--notifications", "--writeback");
	REFUSED(2, "--cache=coherent: not with --killpriv-v2",
		"--cache=coherent", "--notifications", "--killpriv-v2");
	REFUSED(2, "--guard takes none or truncate, not 'all'", "--guard", "all");
	REFUSED(2, "--guard needs --dax-window and --notifications",
		"--guard=truncate", "--dax-window", "64M");
	REFUSED(2, "--guard-timeout takes 1 to 60000 milliseconds, not '0'",
		"--guard-timeout", "0");
	REFUSED(2, "--sandbox takes none, namespace or chroot, not 'jail'",
		"--sandbox", "jail");
	REFUSED(2, "--log-level takes error, warn, info, debug, trace or off, not 'all'",
		"--log-level", "all");
	REFUSED(2, "--seccomp takes none, kill, log or trap, not 'yes'",
		"--seccomp", "yes");
	REFUSED(2, "--rlimit-nofile takes 0 or a number of descriptors, not '-1'",
		"--rlimit-nofile=-1");
	REFUSED(2, "--modcaps: --inode-file-handles needs dac_read_search",
		"--modcaps=-dac_read_search", "--inode-file-handles=prefer");
	REFUSED(2, "--modcaps takes capabilities, as in +sys_admin:-chown, not 'chown'",
		"--modcaps", "chown");
	REFUSED(2, "--modcaps takes capabilities, as in +sys_admin:-chown, not '+chown:'",
		"--modcaps", "+chown:");
	REFUSED(2, "--modcaps takes capabilities, as in +sys_admin:-chown, not '-nonsense'",
		"--modcaps=-nonsense");
}

static void wrong_descriptors(void)
{
	REFUSED(2, "--fd takes the number of a descriptor, not '-1'", "--fd=-1");
	REFUSED(2, "--socket-group needs --socket-path", "--socket-group",
		"root");
	REFUSED(1, "--fd 99: no such descriptor is open", "--fd", "99");
	REFUSED(1, "--fd 1: no Unix stream socket that listens", "--fd", "1");
}

static void wrong_sockets(void)
{
	REFUSED(2, "--socket-group takes the name of a group, not 'nonesuch'",
		"--socket-group", "nonesuch");
	REFUSED(2, "--fd and --socket-path", "--fd", "7");
	fe_inherits = true;
	wrong_descriptors();
	fe_inherits = false;
}

static void paths_are_named(void)
{
	REFUSED(1, "/none/dir: cannot open the shared directory: No such file",
		"--shared-dir", "/none/dir");
	REFUSED(1, "/none/s: No such file", "--socket-path", "/none/s");
	REFUSED(1, "/none/l: No such file", "--log-file", "/none/l");
	REFUSED(1, "/none/t: No such file", "--stats-file", "/none/t");
}

/* Whoever starts the daemon does not look into the log. */
static void errors_at_the_start_are_seen(void)
{
	REFUSED(1, "/none/dir: cannot open the shared directory: No such file",
		"--shared-dir", "/none/dir", "--log-file", "/dev/null");
}

/* As an ordinary user: what is missing, and not only that something is. */
static void privileges_are_named(void)
{
	char path[32];
	int fd = open(fe_daemon, O_PATH);

	/* Wherever it lies: others may have no way to it. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fe_daemon = path;
	fe_kill(&fe);
	CHECK(fd >= 0 && !setgid(65534) && !setuid(65534));
	REFUSED(1, "change root to the shared directory", "--sandbox",
		"chroot");
	REFUSED(1, "--dax-window needs root (CAP_SYS_ADMIN and /dev/fuse)",
		"--sandbox", "none", "--dax-window", "64M");
	REFUSED(1, "--dax-window needs root (CAP_SYS_ADMIN and /dev/fuse)",
		"--dax-window", "64M");
}

/* QEMU and the guest do not say why such a window is not there. */
static void a_window_without_room_is_named(void)
{
	CHECK(fe_spawn(&fe, (const char *[]){ "--dax-window", "256G", NULL }));
	CHECK(fe_connect(&fe) && fe_lines(&fe) == 1 && fe_end(&fe) == 0);
	CHECK(fe_spawn(&fe, (const char *[]){ "--dax-window", "512G", NULL }));
	CHECK(fe_connect(&fe));
	CHECK(fe_said(&fe, "a guest has room for more than 256 GiB only with KVM") &&
	      fe_said(&fe, "takes 8 GiB of its memory"));
	CHECK(fe_end(&fe) == 0);
}

static void start_names_what_is_served(void)
{
	CHECK(fe_spawn(&fe, (const char *[]){ "--dax-window", "64M", "--tag",
					      "t", NULL }));
	CHECK(fe_connect(&fe));
	CHECK(fe_said(&fe, "/share as 't' with a window of 64 MiB, waiting on "));
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_spawn(&fe, (const char *[]){ "--tag", "t", NULL }));
	CHECK(fe_connect(&fe));
	CHECK(fe_said(&fe, "/share as 't' with no window (--dax-window), waiting on "));
	CHECK(fe_end(&fe) == 0);
}

/* As QEMU asks that makes a device with so many queues, and so much to be read. */
static bool device_is(unsigned int queues, unsigned int config_len)
{
	struct vu_config config = { .size = config_len };
	ssize_t len = offsetof(struct vu_config, data) + config_len;

	CHECK_OR(fe_spawn(&fe, (const char *[]){ "--notifications",
					      "--log-level", "warn", NULL }) &&
		 fe_connect(&fe) && fe_handshake(&fe), false);
	fe.num_queues = queues;
	fe_start_queues(&fe, true);
	return fe_call(&fe, VU_GET_CONFIG, &config, len, &config,
		       sizeof(config)) == len;
}

/* The one line that there is. */
static bool says(const char *text)
{
	/* Another thread writes it. */
	for (int i = 0; i < 100 && !fe_lines(&fe); i++)
		usleep(20000);
	return fe_lines(&fe) == 1 && fe_said(&fe, text);
}

/* A guest then says that it cannot mount, or panics, and neither why. */
static void a_device_that_is_too_small_is_told(void)
{
	CHECK(device_is(2, 44) && says("QEMU's device needs num_vqs=3"));
	CHECK(fe_end(&fe) == 0);
	CHECK(device_is(3, 40) && says("QEMU's device needs config_size=44"));
	CHECK(fe_end(&fe) == 0);
	CHECK(device_is(3, 44));
	usleep(200000);
	CHECK(!fe_lines(&fe) && fe_end(&fe) == 0);
}

/* Where a service manager waits; the name it has goes into the environment */
static int manager(void)
{
	static char dir[] = "/tmp/daxd-ready.XXXXXX";
	const struct timeval seconds = { .tv_sec = 5 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify",
		 mkdtemp(dir) ?: "/none");
	CHECK_OR(!bind(sock, (struct sockaddr *)&addr, sizeof(addr)), -1);
	CHECK_OR(!setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &seconds,
			     sizeof(seconds)), -1);
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	return sock;
}

/* Once, when QEMU may connect, in the default sandbox; and not by one that fails. */
static void the_service_manager_is_told(void)
{
	int sock = manager();
	const char *path = getenv("NOTIFY_SOCKET");
	char message[64] = "";

	REFUSED(1, "/none/dir", "--shared-dir", "/none/dir");
	CHECK(recv(sock, message, sizeof(message) - 1, MSG_DONTWAIT) < 0);
	fe_fork(&fe, (const char *[]){ NULL });
	CHECK(recv(sock, message, sizeof(message) - 1, 0) == 7);
	CHECK(!strcmp(message, "READY=1"));
	CHECK(fe_connect(&fe) && fe_end(&fe) == 0);
	CHECK(recv(sock, message, sizeof(message) - 1, MSG_DONTWAIT) < 0);
	close(sock);
	unlink(path);
	/* Nobody is there any more, which keeps no share from being served. */
	CHECK(fe_spawn(&fe, (const char *[]){ NULL }) && fe_connect(&fe));
	CHECK(fe_said(&fe, "NOTIFY_SOCKET=") && fe_end(&fe) == 0);
	*strrchr(path, '/') = 0;
	rmdir(path);
	unsetenv("NOTIFY_SOCKET");
}

static const struct fs_test tests[] = {
	TEST(wrong_options),
	TEST(wrong_values),
	TEST(wrong_sockets),
	TEST(paths_are_named),
	TEST(errors_at_the_start_are_seen),
	TEST(a_window_without_room_is_named),
	TEST(start_names_what_is_served),
	TEST(a_device_that_is_too_small_is_told),
	TEST(the_service_manager_is_told),
	/* Last: it gives up being root. */
	TEST(privileges_are_named),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
