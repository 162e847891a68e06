// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Storage that does not answer: the shared directory is a FUSE mount of this
 * process, which holds requests for as long as it likes. The daemon must stop its
 * queues and end all the same, and must leave alone the memory of a guest that it
 * has said it stopped.
 */
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)
#include <fuse_lowlevel.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"
#include "slots.h"

#define FILE_NODE 2
#define FILE_SIZE (1 << 20)
#define MAX_HELD 64

static struct frontend fe;
static char dir[] = "/tmp/daxd-stall.XXXXXX";

/* What is held while @stall is set; see let_go(). */
static struct {
	pthread_mutex_t lock;
	bool stall;
	fuse_req_t reads[MAX_HELD];
	size_t sizes[MAX_HELD];
	fuse_req_t xattrs[MAX_HELD];
	unsigned int num_reads;
	unsigned int num_xattrs;
	unsigned int writes;
} storage = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the storage ---- */

static struct stat attr(fuse_ino_t node)
{
	struct stat st = { .st_ino = node, .st_nlink = 1 };

	st.st_mode = node == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755;
	st.st_size = node == FILE_NODE ? FILE_SIZE : 0;
	return st;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = FILE_NODE, .generation = 1,
					  .attr_timeout = 1e6,
					  .entry_timeout = 1e6 };

	(void)parent;
	entry.attr = attr(FILE_NODE);
	if (strcmp(name, "f"))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t node,
		       struct fuse_file_info *fi)
{
	struct stat st = attr(node);

	(void)fi;
	fuse_reply_attr(req, &st, 1e6);
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	fuse_reply_open(req, fi);
}

static void reply_read(fuse_req_t req, size_t size)
{
	char *data = malloc(size);

	memset(data, 'R', size);
	fuse_reply_buf(req, data, size);
	free(data);
}

static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	bool held;

	(void)node;
	(void)fi;
	if (off >= FILE_SIZE)
		size = 0;
	pthread_mutex_lock(&storage.lock);
	held = storage.stall && storage.num_reads < MAX_HELD;
	if (held) {
		storage.sizes[storage.num_reads] = size;
		storage.reads[storage.num_reads++] = req;
	}
	pthread_mutex_unlock(&storage.lock);
	if (!held)
		reply_read(req, size);
}

static void op_write(fuse_req_t req, fuse_ino_t node, const char *data,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)node;
	(void)data;
	(void)off;
	(void)fi;
	pthread_mutex_lock(&storage.lock);
	storage.writes++;
	pthread_mutex_unlock(&storage.lock);
	fuse_reply_write(req, size);
}

/* The kernel asks for the file's capabilities before it copies what is written. */
static void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name,
			size_t size)
{
	bool held;

	(void)node;
	(void)name;
	(void)size;
	pthread_mutex_lock(&storage.lock);
	held = storage.stall && storage.num_xattrs < MAX_HELD;
	if (held)
		storage.xattrs[storage.num_xattrs++] = req;
	pthread_mutex_unlock(&storage.lock);
	if (!held)
		fuse_reply_err(req, ENODATA);
}

static const struct fuse_lowlevel_ops storage_ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.getxattr = op_getxattr,
};

static void stall(void)
{
	pthread_mutex_lock(&storage.lock);
	storage.stall = true;
	storage.writes = 0;
	pthread_mutex_unlock(&storage.lock);
}

static void let_go(void)
{
	pthread_mutex_lock(&storage.lock);
	storage.stall = false;
	while (storage.num_reads) {
		storage.num_reads--;
		reply_read(storage.reads[storage.num_reads],
			   storage.sizes[storage.num_reads]);
	}
	while (storage.num_xattrs)
		fuse_reply_err(storage.xattrs[--storage.num_xattrs], ENODATA);
	pthread_mutex_unlock(&storage.lock);
}

static bool is_held(void)
{
	bool held;

	pthread_mutex_lock(&storage.lock);
	held = storage.num_reads || storage.num_xattrs;
	pthread_mutex_unlock(&storage.lock);
	return held;
}

static void *serve(void *arg)
{
	fuse_session_loop(arg);
	return NULL;
}

/* In a mount namespace of our own: nothing is left. */
static struct fuse_session *mount_storage(pthread_t *thread)
{
	char *argv[] = { "core_stall" };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *session;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || !mkdtemp(dir))
		return NULL;
	session = fuse_session_new(&args, &storage_ops, sizeof(storage_ops),
				   NULL);
	if (!session || fuse_session_mount(session, dir) ||
	    pthread_create(thread, NULL, serve, session))
		return NULL;
	return session;
}

/* ---- the tests ---- */

static const char *const options[] = {
	"--shared-dir", dir, "--log-level", "warn", NULL
};

/* A file that is open; its node, or 0. */
static uint64_t begin(const char *const *with, uint64_t *fh)
{
	uint64_t node;
	int error = 0;

	let_go();
	if (!fe_begin(&fe, with))
		return 0;
	node = fe_lookup(&fe, "f", NULL);
	*fh = fe_open(&fe, node, O_RDWR, &error);
	return error ? 0 : node;
}

static bool wait_held(void)
{
	for (int i = 0; i < 2000 && !is_held(); i++)
		usleep(1000);
	return is_held();
}

/* A READ of bytes that are in nobody's page cache. */
static bool begin_read(uint64_t node, uint64_t fh)
{
	static uint64_t offset;
	struct fuse_read_in in = { .fh = fh, .offset = offset, .size = 4096 };

	/* Behind what the last one may have read ahead. */
	offset = (offset + (512 << 10)) % FILE_SIZE;
	stall();
	fe_request_begin(&fe, FUSE_READ, node, &in, sizeof(in), 4096);
	return wait_held();
}

static bool begin_write(uint64_t node, uint64_t fh)
{
	struct {
		struct fuse_write_in in;
		char data[4096];
	} req = { .in.fh = fh, .in.size = sizeof(req.data) };

	stall();
	memset(req.data, 'W', sizeof(req.data));
	fe_request_begin(&fe, FUSE_WRITE, node, &req, sizeof(req),
			 sizeof(struct fuse_write_out));
	return wait_held();
}

static bool all_bytes(const char *at, char byte, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != byte)
			return false;
	return true;
}

/* The guest is stopped, and its memory is not touched when the data arrives. */
static void stop_during_a_read(void)
{
	uint64_t fh, node = begin(options, &fh);
	char *memory = fe.memory;

	CHECK(node && begin_read(node, fh));
	CHECK(fe_stop_queues(&fe));
	/* All but the rings may be given to somebody else. */
	memset(memory + (1 << 20), 'x', FE_MEMORY - (1 << 20));
	let_go();
	usleep(300000);
	CHECK(all_bytes(memory + (1 << 20), 'x', FE_MEMORY - (1 << 20)));
	fe_start_queues(&fe, false);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == -EIO);
	/* And it goes on. */
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

/* What is given back after the guest went on: an error, and nothing else. */
static void stop_and_cont_during_a_read(void)
{
	uint64_t fh, node = begin(options, &fh);
	char *memory = fe.memory;

	CHECK(node && begin_read(node, fh));
	CHECK(fe_stop_queues(&fe));
	fe_start_queues(&fe, false);
	memset(memory + (16 << 20) + 16, 'x', 4096);
	let_go();
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == -EIO);
	CHECK(all_bytes(memory + (16 << 20) + 16, 'x', 4096));
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

static void reset_during_a_read(void)
{
	struct fuse_init_out out;
	uint64_t fh, node = begin(options, &fh);

	CHECK(node && begin_read(node, fh));
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	let_go();
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(fe_lookup(&fe, "f", NULL) != 0);
	CHECK(fe_end(&fe) == 0);
}

/* Neither old nor new bytes of memory that was taken away reach the file. */
static void stop_during_a_write(void)
{
	uint64_t fh, node = begin(options, &fh);

	CHECK(node && begin_write(node, fh));
	CHECK(fe_stop_queues(&fe));
	let_go();
	usleep(300000);
	fe_start_queues(&fe, false);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == -EIO);
	CHECK(storage.writes == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Memory that the front-end has replaced is taken away as well. */
static void memory_is_replaced_during_a_read(void)
{
	uint64_t fh, node = begin(options, &fh);
	struct vu_mem_table table = { .count = 1 };
	char *memory = fe.memory;

	CHECK(node && begin_read(node, fh));
	table.regions[0] = (struct vu_mem_region){
		.guest_addr = FE_GUEST_BASE, .size = FE_MEMORY,
		.user_addr = (uintptr_t)fe.memory };
	CHECK(fe_send(&fe, VU_SET_MEM_TABLE, &table,
		      offsetof(struct vu_mem_table, regions[1]), fe.memory_fd,
		      true) == 0);
	CHECK(fe_stop_queues(&fe));
	memset(memory + (16 << 20) + 16, 'x', 4096);
	let_go();
	usleep(300000);
	CHECK(all_bytes(memory + (16 << 20) + 16, 'x', 4096));
	fe_start_queues(&fe, false);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == -EIO);
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

static void ask_read(unsigned int slot, uint64_t fh, uint64_t offset)
{
	const struct fuse_read_in in = {
		.fh = fh, .offset = offset, .size = SLOT_BODY,
	};

	slot_ask(&fe, slot, SLOT_REQUESTS, 1, FUSE_READ, 0, &in, sizeof(in));
}

/*
 * The memory of what is under way is moved away; what waits for a thread has not
 * begun, and has to find the memory of a guest that goes on.
 */
static void stop_with_a_read_waiting(void)
{
	static const char *const one_thread[] = {
		"--shared-dir", dir, "--log-level", "warn",
		"--thread-pool-size", "1", NULL
	};
	uint64_t fh, node = begin(one_thread, &fh);

	CHECK(node);
	slots_reset();
	stall();
	ask_read(1, fh, 256 << 10);
	CHECK(wait_held());
	ask_read(2, fh, 768 << 10);
	CHECK(slot_wait(&fe, 2, 50) == SLOT_NO_ANSWER);
	CHECK(fe_stop_queues(&fe));
	fe_start_queues(&fe, false);
	let_go();
	CHECK(slot_wait(&fe, 1, 2000) == EIO);
	CHECK(slot_wait(&fe, 2, 2000) == 0);
	CHECK(all_bytes(slot_body(&fe, 2), 'R', SLOT_BODY));
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

/* Whether the process has ended, were it not for what holds it in the kernel. */
static bool is_over(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (file)
		fclose(file);
	return state == 'Z' || state == 'X';
}

static bool ends_in_time(void)
{
	for (int i = 0; i < 1000 && !is_over(fe.child); i++)
		usleep(10000);
	return is_over(fe.child);
}

static bool ends_and_says_why(void)
{
	return ends_in_time() && fe_said(&fe, "storage does not answer");
}

static void end_by_signal(void)
{
	uint64_t fh, node = begin(options, &fh);
	bool ended;

	CHECK(node && begin_read(node, fh));
	kill(fe.child, SIGTERM);
	ended = ends_and_says_why();
	let_go();
	CHECK(ended && fe_gone(&fe) == 1);
}

static void end_by_front_end(void)
{
	uint64_t fh, node = begin(options, &fh);
	bool ended;

	CHECK(node && begin_write(node, fh));
	shutdown(fe.conn, SHUT_RDWR);
	ended = ends_and_says_why();
	let_go();
	CHECK(ended && fe_gone(&fe) == 1);
}

/* Messages wait for the same storage, and nobody for them. */
static void log_stalls_as_well(void)
{
	static char log[64];
	static const char *const logging[] = {
		"--shared-dir", dir, "--log-level", "debug", "--log-file", log,
		NULL
	};
	uint64_t fh, node;
	bool ended;

	snprintf(log, sizeof(log), "%s/f", dir);
	node = begin(logging, &fh);
	CHECK(node && begin_read(node, fh));
	CHECK(fe_stop_queues(&fe));
	kill(fe.child, SIGTERM);
	ended = ends_in_time();
	let_go();
	CHECK(ended && fe_gone(&fe) == 1);
}

static unsigned int num_threads(void)
{
	char path[64], line[128];
	unsigned int num = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", fe.child);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "Threads: %u", &num);
	if (file)
		fclose(file);
	return num;
}

/*
 * The counters wait for the same storage, the front-end does not. However often
 * they are asked for meanwhile, two threads do that at most.
 */
static void statistics_stall_as_well(void)
{
	static char stats[64];
	static const char *const counting[] = {
		"--shared-dir", dir, "--log-level", "error", "--stats-file",
		stats, NULL
	};
	unsigned int threads;
	uint64_t fh;

	snprintf(stats, sizeof(stats), "%s/f", dir);
	CHECK(begin(counting, &fh));
	threads = num_threads();
	stall();
	kill(fe.child, SIGUSR1);
	CHECK(wait_held());
	for (int i = 0; i < 20; i++) {
		kill(fe.child, SIGUSR1);
		usleep(10000);
	}
	CHECK(threads && num_threads() <= threads + 2);
	CHECK(fe_stop_queues(&fe));
	let_go();
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(stop_during_a_read),
	TEST(stop_and_cont_during_a_read),
	TEST(reset_during_a_read),
	TEST(stop_during_a_write),
	TEST(memory_is_replaced_during_a_read),
	TEST(stop_with_a_read_waiting),
	TEST(end_by_signal),
	TEST(end_by_front_end),
	TEST(log_stalls_as_well),
	TEST(statistics_stall_as_well),
};

int main(int argc, char **argv)
{
	struct fuse_session *session;
	pthread_t thread;
	int ret;

	if (geteuid() || access("/dev/fuse", R_OK | W_OK))
		return skip_all("needs root and /dev/fuse");
	session = mount_storage(&thread);
	if (!session)
		return 1;
	ret = fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
	let_go();
	fe_kill(&fe);
	umount2(dir, MNT_DETACH);
	pthread_join(thread, NULL);
	fuse_session_destroy(session);
	rmdir(dir);
	return ret;
}
