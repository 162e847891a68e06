// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The file operations behind a mount of this host's kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs_server.h"
#include "passthrough/passthrough_i.h"

#define THREADS 4
#define READY 1

static struct fuse_session *session;
static struct pt *share;

static void die(const char *what)
{
	fprintf(stderr, "# server: %s: %s\n", what, strerror(errno));
	_exit(1);
}

/* As the transport does: look first, then hand over. */
static void *serve(void *arg)
{
	struct fuse_buf buf = { 0 };

	(void)arg;
	while (!fuse_session_exited(session)) {
		int len = fuse_session_receive_buf(session, &buf);

		if (len == -EINTR || len == -EAGAIN)
			continue;
		if (len <= 0)
			break;
		if (pt_request(share, buf.mem, (size_t)len)) {
			struct fuse_in_header *in = buf.mem;

			/* Have libfuse answer ENOSYS. */
			in->opcode = 0;
		}
		fuse_session_process_buf(session, &buf);
	}
	fuse_session_exit(session);
	free(buf.mem);
	return NULL;
}

static int count_objects(struct table *table)
{
	uint32_t pos = 0;
	int n = 0;

	pthread_mutex_lock(&share->lock);
	while (table_next(table, &pos))
		n++;
	pthread_mutex_unlock(&share->lock);
	return n;
}

/* Those that the guest has not forgotten. */
static int count_nodes(void)
{
	unsigned int forgotten;

	pthread_mutex_lock(&share->lock);
	forgotten = share->forgotten.nr;
	pthread_mutex_unlock(&share->lock);
	return count_objects(&share->nodes) - (int)forgotten;
}

static int count_fds(void)
{
	int fd = openat(share->proc_fd, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The limit is a soft one and the server's own process may lift it. */
static int limit_fds(int more)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	limit.rlim_cur = more ? (rlim_t)(count_fds() + more) : limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

static int answer(char what)
{
	switch (what) {
	case 'n':
		return count_nodes();
	case 'h':
		return count_objects(&share->handles);
	case 'f':
		return count_fds();
	case 'r':
		pt_reset(share);
		return 0;
	case 'l':
		return limit_fds(32);
	case 'L':
		return limit_fds(0);
	}
	return -1;
}

static void *control(void *arg)
{
	int fd = *(int *)arg;
	char what;

	while (read(fd, &what, 1) == 1) {
		int n = answer(what);

		if (write(fd, &n, sizeof(n)) != sizeof(n))
			break;
	}
	return NULL;
}

static enum isolation_role role_for(const struct pt_options *opts)
{
	return opts->file_handles == PT_HANDLES_NEVER ? ISOLATION_REQUESTS :
	       ISOLATION_HANDLES;
}

static void isolate(const char *dir, enum isolation_sandbox sandbox,
		    struct pt_options *opts)
{
	if (isolation_namespaces(sandbox) ||
	    isolation_open(sandbox, dir, &opts->root_fd, &opts->proc_fd) ||
	    isolation_root(sandbox, &opts->root_fd) ||
	    isolation_thread(role_for(opts)))
		die(isolation_step());
	share = pt_new(opts);
	if (!share)
		die("pt_new");
}

/* The tests must see the mount, so it is made before the isolation. */
static int mount_fuse(const char *where)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,"
		 "default_permissions,allow_other", fd);
	if (fd < 0 || mount("pt", where, "fuse.pt", 0, options))
		die("mount");
	return fd;
}

/* Splicing is for large transfers and would need an own look at requests. */
static void init_share(void *userdata, struct fuse_conn_info *conn)
{
	pt_ops()->init(userdata, conn);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);
}

static void new_session(int dev_fuse)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = *pt_ops();
	char device[32];

	ops.init = init_share;
	fuse_opt_add_arg(&args, "fs_server");
	snprintf(device, sizeof(device), "/dev/fd/%d", dev_fuse);
	session = fuse_session_new(&args, &ops, sizeof(ops), share);
	if (!session || fuse_session_mount(session, device))
		die("session");
}

/* A sanitizer makes calls of its own, at the end above all. */
static int restrict_calls(const struct pt_options *opts)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)opts;
	return 0;
#else
	return isolation_syscalls(role_for(opts), STDERR_FILENO);
#endif
}

static void run_server(struct fs_server *server, struct pt_options *opts,
		       enum isolation_sandbox sandbox, int fd)
{
	pthread_t threads[THREADS], controller;
	int status = READY;
	int dev_fuse;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (isolation_start(NULL) || isolation_nofile(ISOLATION_NOFILE_DEFAULT))
		die(isolation_step());
	dev_fuse = mount_fuse(server->mount);
	isolate(server->share, sandbox, opts);
	new_session(dev_fuse);
	if (pthread_create(&controller, NULL, control, &fd) ||
	    pthread_detach(controller))
		die("thread");
	if (restrict_calls(opts))
		die(isolation_step());
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, serve, NULL))
			die("thread");
	if (write(fd, &status, sizeof(status)) != sizeof(status))
		die("control");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	_exit(0);
}

bool fs_server_start(struct fs_server *server, const struct pt_options *opts,
		     enum isolation_sandbox sandbox)
{
	struct pt_options copy = *opts;
	int pair[2], status = 0;

	strcpy(server->share, "/tmp/fs-share-XXXXXX");
	strcpy(server->mount, "/tmp/fs-mount-XXXXXX");
	if (!mkdtemp(server->share) || !mkdtemp(server->mount) ||
	    chmod(server->share, 0755) || chmod(server->mount, 0755) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	copy.shared_dir = server->share;
	copy.file_handles = fs_file_handles();
	fflush(stdout);
	server->pid = fork();
	if (!server->pid) {
		/* Of what is inherited, the standard streams stay open. */
		dup2(pair[1], STDOUT_FILENO);
		run_server(server, &copy, sandbox, STDOUT_FILENO);
	}
	close(pair[1]);
	server->control = pair[0];
	return server->pid > 0 &&
	       read(pair[0], &status, sizeof(status)) == sizeof(status) &&
	       status == READY;
}

int fs_server_ask(struct fs_server *server, char what)
{
	int n = -1;

	if (write(server->control, &what, 1) != 1 ||
	    read(server->control, &n, sizeof(n)) != sizeof(n))
		return -1;
	return n;
}

bool fs_server_stop(struct fs_server *server)
{
	char command[160];
	int status = -1;

	umount2(server->mount, MNT_DETACH);
	close(server->control);
	waitpid(server->pid, &status, 0);
	snprintf(command, sizeof(command), "rm -rf '%s' && rmdir '%s'",
		 server->share, server->mount);
	if (system(command))
		fprintf(stderr, "# cannot remove %s\n", server->share);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

enum pt_handles fs_file_handles(void)
{
	return getenv("FS_FILE_HANDLES") ? PT_HANDLES_MANDATORY : PT_HANDLES_NEVER;
}

bool fs_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t len = (ssize_t)strlen(text);
	bool ok = fd >= 0 && write(fd, text, (size_t)len) == len;

	return fd >= 0 && !close(fd) && ok;
}

bool fs_has(const char *path, const char *text)
{
	char buf[256] = "";
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	return len == (ssize_t)strlen(text) && !strcmp(buf, text);
}
