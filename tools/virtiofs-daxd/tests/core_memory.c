// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory of the guest which the daemon may not trust: a file that is cut off
 * while it is mapped, and maps in the windows of other daemons. And how many
 * maps these make together.
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fe_main.h"
#include "frontend.h"
#include "fs_tap.h"

#define RANGE (UINT64_C(2) << 20)
#define MORE_ADDR (UINT64_C(1) << 40)
#define MORE_BYTES (UINT64_C(1) << 20)

static struct frontend fe;

/* Memory beside that of the front-end, with a file of its own. */
static int more_fd;
static char *more;

static const char *const with_window[] = {
	"--dax-window", "64M", "--log-level", "warn", NULL
};

static int64_t add_memory(int fd, const void *user, uint64_t size)
{
	struct vu_mem_reg reg = { .region = {
		.guest_addr = MORE_ADDR, .size = size,
		.user_addr = (uintptr_t)user } };

	return fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), fd, true);
}

static bool begin(void)
{
	if (!fe_begin(&fe, with_window) || !fe_file(&fe, "f", 100000))
		return false;
	more_fd = memfd_create("more", MFD_CLOEXEC);
	if (ftruncate(more_fd, MORE_BYTES))
		return false;
	more = mmap(NULL, MORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		    more_fd, 0);
	return more != MAP_FAILED && add_memory(more_fd, more, MORE_BYTES) == 0;
}

static int end(void)
{
	munmap(more, MORE_BYTES);
	close(more_fd);
	return fe_end(&fe);
}

static bool goes_on(void)
{
	return fe_lookup(&fe, "f", NULL) != 0;
}

/* A request that is at @in, and whose answer goes to @out, on queue 1. */
static int64_t request_at(uint64_t in, uint32_t in_len, uint64_t out,
			  uint32_t out_len)
{
	fe_desc(&fe, 1, 200, in, in_len, VRING_DESC_F_NEXT, 201);
	fe_desc(&fe, 1, 201, out, out_len, VRING_DESC_F_WRITE, 0);
	fe_submit(&fe, 1, 200);
	return fe_complete(&fe, 1);
}

static uint32_t put_lookup(void *ptr)
{
	struct fuse_in_header header = {
		.len = sizeof(header) + 2, .opcode = FUSE_LOOKUP,
		.nodeid = FUSE_ROOT_ID, .unique = 4711 };

	memcpy(ptr, &header, sizeof(header));
	memcpy((char *)ptr + sizeof(header), "f", 2);
	return header.len;
}

static void requests_cut_off(void)
{
	uint64_t out = FE_GUEST_BASE + (24 << 20);
	uint32_t len;

	CHECK(begin());
	len = put_lookup(more + 8192);
	CHECK(request_at(MORE_ADDR + 8192, len, out, 4096) > 100);
	CHECK(!ftruncate(more_fd, 4096));
	CHECK(request_at(MORE_ADDR + 8192, len, out, 4096) >= 0);
	CHECK(goes_on());
	/* What has been missed is no memory any more, not even when it is back. */
	CHECK(!ftruncate(more_fd, MORE_BYTES));
	put_lookup(more + 8192);
	CHECK(request_at(MORE_ADDR + 8192, len, out, 4096) < 100);
	/* What was not is. */
	put_lookup(more);
	CHECK(request_at(MORE_ADDR, len, out, 4096) > 100);
	CHECK(goes_on());
	CHECK(end() == 0);
}

static void answers_cut_off(void)
{
	uint64_t in = FE_GUEST_BASE + (24 << 20);
	uint32_t len;

	CHECK(begin());
	len = put_lookup(fe_ptr(&fe, in));
	CHECK(request_at(in, len, MORE_ADDR + 8192, 4096) > 100);
	CHECK(!ftruncate(more_fd, 4096));
	CHECK(request_at(in, len, MORE_ADDR + 8192, 4096) >= 0);
	CHECK(goes_on());
	CHECK(end() == 0);
}

/* Data which the daemon has the kernel read from there, and write to there. */
static void data_cut_off(void)
{
	struct fuse_read_in in = { .size = 4096 };
	struct fuse_in_header header = {
		.len = sizeof(header) + sizeof(in), .opcode = FUSE_READ,
		.unique = 4711 };
	struct fuse_out_header *reply;
	int error;
	char *ptr;

	CHECK(begin());
	ptr = fe_ptr(&fe, FE_GUEST_BASE + (24 << 20));
	reply = (void *)(ptr + 8192);
	header.nodeid = fe_lookup(&fe, "f", NULL);
	in.fh = fe_open(&fe, header.nodeid, O_RDONLY, &error);
	CHECK(header.nodeid && !error);
	memcpy(ptr, &header, sizeof(header));
	memcpy(ptr + sizeof(header), &in, sizeof(in));
	CHECK(!ftruncate(more_fd, 4096));
	fe_desc(&fe, 1, 200, fe_addr(&fe, ptr), header.len, VRING_DESC_F_NEXT,
		201);
	fe_desc(&fe, 1, 201, fe_addr(&fe, reply), sizeof(*reply),
		VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 202);
	fe_desc(&fe, 1, 202, MORE_ADDR + 8192, 4096, VRING_DESC_F_WRITE, 0);
	fe_submit(&fe, 1, 200);
	CHECK(fe_complete(&fe, 1) == sizeof(*reply));
	CHECK(reply->error == -EFAULT);
	CHECK(goes_on());
	CHECK(end() == 0);
}

/* Queue 0 again, with its rings in the other memory. */
static bool move_rings(void)
{
	struct vu_vring_state state = { 0, 0 }, on = { 0, 1 };
	struct vu_vring_addr addr = {
		.desc = (uintptr_t)more + 65536,
		.avail = (uintptr_t)more + 65536 + 16 * FE_QUEUE_SIZE,
		.used = (uintptr_t)more + 65536 + 32 * FE_QUEUE_SIZE };
	uint64_t index = 0;

	return fe_call(&fe, VU_GET_VRING_BASE, &state, sizeof(state), &state,
		       sizeof(state)) == sizeof(state) &&
	       !fe_send(&fe, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1,
			true) &&
	       !fe_send(&fe, VU_SET_VRING_KICK, &index, 8, fe.queues[0].kick,
			true) &&
	       !fe_send(&fe, VU_SET_VRING_ENABLE, &on, sizeof(on), -1, true);
}

static void rings_cut_off(void)
{
	struct vu_vring_state state = { 0, 0 };

	CHECK(begin());
	CHECK(move_rings());
	CHECK(!ftruncate(more_fd, 4096));
	fe_submit(&fe, 0, 0);
	usleep(100000);
	CHECK(goes_on());
	/* They cannot be there once more; the control channel lives. */
	CHECK(fe_call(&fe, VU_GET_VRING_BASE, &state, sizeof(state), &state,
		      sizeof(state)) == sizeof(state));
	CHECK(!move_rings());
	CHECK(goes_on());
	CHECK(end() == 0);
}

/* Another daemon's map: memory for QEMU, but a file of a share. */
static void check_window_of(struct frontend *other)
{
	uint64_t out = FE_GUEST_BASE + (24 << 20);
	uint64_t node;
	int map;

	CHECK(fe_file(other, "data", RANGE));
	node = fe_lookup(other, "data", NULL);
	other->keep_fd = true;
	CHECK(fe_setup(other, node, 0, RANGE, 0, true) == 0);
	map = other->last_fd;
	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 100));
	/* QEMU must not remember it, and only a start cannot refuse it. */
	CHECK(add_memory(map, other->window, RANGE) == 1);
	CHECK(fe_stop_queues(&fe));
	CHECK(add_memory(map, other->window, RANGE) == 0);
	fe_start_queues(&fe, false);
	put_lookup(other->window);
	CHECK(request_at(MORE_ADDR, 42, out, 4096) < 100);
	CHECK(!truncate(fe_path(other, "data"), 0));
	CHECK(request_at(MORE_ADDR, 42, out, 4096) < 100);
	CHECK(goes_on());
	close(map);
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_end(other) == 0);
}

static void windows_of_others(void)
{
	struct frontend other = { 0 };

	CHECK(fe_begin(&other, with_window));
	check_window_of(&other);
}

/* Likewise the base of another's window that is one map. */
static void bases_of_others(void)
{
	struct frontend other = { 0 };
	int sock = fe_begin_library(&other, with_window, 2);

	CHECK(sock >= 0);
	check_window_of(&other);
	close(sock);
}

/* Single pages until no more are allowed. */
static unsigned int map_pages(struct frontend *frontend, uint64_t node)
{
	unsigned int count = 0;

	while (count < FE_MAX_MAPS && !fe_setup(frontend, node, 0, 4096,
						count * 8192, false))
		count++;
	return count;
}

/* QEMU would end at 512. */
static void maps_of_one_machine(void)
{
	struct frontend other = { 0 };
	uint64_t node, other_node;
	unsigned int count;

	CHECK(fe_begin(&fe, with_window));
	fe_beside = &fe;
	CHECK(fe_begin(&other, with_window));
	fe_beside = NULL;
	node = fe_make(&fe, "f", 4096);
	other_node = fe_make(&other, "f", 4096);
	CHECK(node && other_node);
	count = map_pages(&fe, node);
	CHECK(count == 256);
	CHECK(map_pages(&other, other_node) == 480 - count);
	/* What one gives back the other gets. */
	CHECK(fe_setup(&other, other_node, 0, 4096, RANGE * 4, false) ==
	      -ENOMEM);
	CHECK(fe_remove(&fe, 0, 4096) == 0);
	CHECK(fe_setup(&other, other_node, 0, 4096, RANGE * 4, false) == 0);
	/* When it has gone QEMU keeps its maps, so the other has its share only. */
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_setup(&other, other_node, 0, 4096, RANGE * 5, false) ==
	      -ENOMEM);
	CHECK(fe_remove(&other, 0, RANGE * 5) == 0);
	CHECK(map_pages(&other, other_node) == 120);
	CHECK(fe_end(&other) == 0);
}

static const struct fs_test tests[] = {
	TEST(requests_cut_off),
	TEST(answers_cut_off),
	TEST(data_cut_off),
	TEST(rings_cut_off),
	TEST(windows_of_others),
	TEST(bases_of_others),
	TEST(maps_of_one_machine),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
