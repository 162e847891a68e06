// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The notification queue: what is said is heard once, in order, as the guest has
 * buffers; what cannot be said becomes one INC_EPOCH; nothing that a guest puts into
 * that queue hurts.
 *
 * Nothing is said by itself: virtiofs-daxd-fault says what a guest has it say.
 */
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "fault/control.h"
#include "fault/host.h"
#include "fe_main.h"
#include "message/notify.h"

#define INC_EPOCH 8

/* Nothing is said within this time if nothing is to be said at all, ms. */
#define SILENCE 100
/* What is said is heard within this time. */
#define SOON 2000

/* Guest memory that nothing else uses. */
#define SPARE (FE_GUEST_BASE + (UINT64_C(24) << 20))
/* Guest-physical, where no memory is. */
#define NOWHERE (FE_GUEST_BASE + FE_MEMORY)

struct inval {
	struct fuse_out_header header;
	struct fuse_notify_inval_inode_out arg;
};

static struct frontend fe;

static const char *const options[] = {
	"--notifications", "--log-level", "error", NULL
};

/* setxattr() in the layout that the guest uses without POSIX ACLs. */
static int set(uint64_t node, const char *name, const void *value, size_t len)
{
	char in[8 + 64 + NOTIFY_MAX_LEN + 1] = { 0 };
	const uint32_t head[2] = { len, 0 };
	size_t name_len = strlen(name) + 1;

	memcpy(in, head, sizeof(head));
	memcpy(in + 8, name, name_len);
	memcpy(in + 8 + name_len, value, len);
	return fe_request(&fe, FUSE_SETXATTR, node, in, 8 + name_len + len,
			  NULL, 0, NULL);
}

static int say(const void *msg, size_t len)
{
	return set(FUSE_ROOT_ID, FAULT_NOTIFY_XATTR, msg, len);
}

/* The daemon need not know the node. */
static int inval(uint64_t node, int64_t offset, int64_t len)
{
	char text[64];

	snprintf(text, sizeof(text), "inval=%lld,%lld", (long long)offset,
		 (long long)len);
	return set(node, FAULT_HOST_XATTR, text, strlen(text));
}

static bool silent(void)
{
	char msg[NOTIFY_MAX_LEN];

	return fe_note(&fe, msg, sizeof(msg), SILENCE) < 0;
}

static bool told(uint64_t node, int64_t offset, int64_t len)
{
	struct fuse_notify_inval_inode_out arg;

	if (!fe_inval(&fe, &arg))
		return false;
	if (arg.ino == node && arg.off == offset && arg.len == len)
		return true;
	printf("# told of %lu, %ld, %ld\n", (unsigned long)arg.ino,
	       (long)arg.off, (long)arg.len);
	return false;
}

static bool told_all_changed(void)
{
	struct fuse_out_header header = { 0 };

	return fe_note(&fe, &header, sizeof(header), SOON) == sizeof(header) &&
	       header.len == sizeof(header) && header.error == INC_EPOCH &&
	       header.unique == 0;
}

/* Uses all buffers up: whatever is said now waits. */
static bool no_buffers(void)
{
	struct fuse_notify_inval_inode_out arg;

	if (!silent())
		return false;
	for (unsigned int i = 0; i < FE_NOTES; i++)
		if (inval(1000 + i, 0, 0) || !fe_inval_kept(&fe, &arg) ||
		    arg.ino != 1000 + i) {
			printf("# buffer %u: told of %lu\n", i,
			       (unsigned long)arg.ino);
			return false;
		}
	return silent();
}

/* A buffer by hand, in a descriptor that fe_note() will use again. */
static void give(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags)
{
	fe_desc(&fe, 1, i, addr, len, flags, i);
	fe_submit(&fe, 1, i);
}

/* It comes back, and there is nothing in it. */
static bool given_back_empty(unsigned int i)
{
	return fe_complete(&fe, 1) == 0 && fe.queues[1].head == i;
}

static void said_and_heard(void)
{
	struct inval out = {
		.header = { .len = sizeof(out),
			    .error = FUSE_NOTIFY_INVAL_INODE },
		.arg = { .ino = 12, .off = 34, .len = 56 },
	};
	char text[NOTIFY_MAX_LEN + 1], heard[NOTIFY_MAX_LEN];

	CHECK(fe_begin(&fe, options) && fe.num_queues == FE_MAX_QUEUES);
	CHECK(silent());
	CHECK(inval(7, 4096, 8192) == 0 && told(7, 4096, 8192));
	/* As it is: right ... */
	CHECK(say(&out, sizeof(out)) == 0 && told(12, 34, 56));
	/* ... or wrong; but never more than a buffer is said to hold. */
	memset(text, 'x', sizeof(text));
	CHECK(say(text, NOTIFY_MAX_LEN) == 0);
	CHECK(fe_note(&fe, heard, sizeof(heard), SOON) == NOTIFY_MAX_LEN);
	CHECK(!memcmp(heard, text, NOTIFY_MAX_LEN));
	CHECK(say(text, NOTIFY_MAX_LEN + 1) == -EINVAL && silent());
	/* More of them than there are buffers: each is given again. */
	for (int i = 0; i < 3 * FE_NOTES; i++)
		CHECK(inval(20 + i, i, 1) == 0 && told(20 + i, i, 1));
	CHECK(silent() && fe_end(&fe) == 0);
}

/* fe_begin() has its INIT answered by the last queue, here the second. */
static void queue_for_requests_else(void)
{
	static const char *const without[] = { "--log-level", "error", NULL };

	CHECK(fe_begin(&fe, without) && fe.num_queues == FE_QUEUES);
	CHECK(inval(7, 0, 0) == -ENOTCONN);
	CHECK(fe_end(&fe) == 0);
	fe_deaf = true;
	CHECK(fe_begin(&fe, options) && fe.num_queues == FE_QUEUES);
	fe_deaf = false;
	CHECK(fe_file(&fe, "f", 1) && fe_lookup(&fe, "f", NULL));
	CHECK(inval(7, 0, 0) == -ENOTCONN);
	CHECK(fe_end(&fe) == 0);
}

static void what_waits_is_joined(void)
{
	CHECK(fe_begin(&fe, options) && no_buffers());
	CHECK(inval(5, 300, 100) == 0 && inval(6, 0, 1) == 0);
	CHECK(inval(5, 100, 50) == 0 && inval(5, -1, 0) == 0);
	CHECK(inval(7, -1, 0) == 0 && inval(7, 10, 10) == 0);
	CHECK(inval(8, 10, 10) == 0 && inval(8, 50, 0) == 0);
	/* What would end past the last offset is all that follows. */
	CHECK(inval(9, INT64_MAX - 1, 10) == 0 && inval(9, 4, 4) == 0);
	/* What need not be given up is, if it is to for something else. */
	CHECK(inval(10, -1, 0) == 0 && inval(10, 0, NOTIFY_SHOWN) == 0);
	CHECK(inval(10, -1, 0) == 0 && inval(10, 0, NOTIFY_SHOWN) == 0);
	CHECK(inval(11, 0, NOTIFY_SHOWN) == 0 && inval(11, 50, 10) == 0);
	CHECK(inval(12, 50, 10) == 0 && inval(12, 0, NOTIFY_SHOWN) == 0);
	CHECK(silent());
	for (int i = 0; i < FE_NOTES; i++)
		fe_note_give(&fe, i);
	CHECK(told(5, 100, 300) && told(6, 0, 1) && told(7, 10, 10));
	CHECK(told(8, 10, 0) && told(9, 4, 0));
	CHECK(told(10, 0, NOTIFY_SHOWN) && told(11, 0, 0) && told(12, 0, 0));
	CHECK(silent());
	/* What was heard is not changed any more. */
	CHECK(inval(5, 0, 1) == 0 && told(5, 0, 1) && silent());
	CHECK(fe_end(&fe) == 0);
}

static void what_waits_is_bounded(void)
{
	CHECK(fe_begin(&fe, options) && no_buffers());
	for (int i = 0; i < NOTIFY_MAX_WAITING; i++)
		CHECK(inval(2000 + i, i, 1) == 0);
	for (int i = 0; i < FE_NOTES; i++)
		fe_note_give(&fe, i);
	for (int i = 0; i < NOTIFY_MAX_WAITING; i++)
		CHECK(told(2000 + i, i, 1));
	CHECK(silent() && no_buffers());
	/* One more is too many, and what comes then is meant as well. */
	for (int i = 0; i <= NOTIFY_MAX_WAITING; i++)
		CHECK(inval(2000 + i, i, 1) == 0);
	CHECK(inval(2000, 0, 1) == 0 && silent());
	for (int i = 0; i < FE_NOTES; i++)
		fe_note_give(&fe, i);
	CHECK(told_all_changed() && silent());
	CHECK(inval(7, 1, 2) == 0 && told(7, 1, 2) && silent());
	CHECK(fe_end(&fe) == 0);
}

/* What a buffer cannot take is not lost: the guest has to ask for all anew. */
static bool bad_buffer(uint64_t addr, uint32_t len, uint16_t flags)
{
	CHECK_OR(inval(7, 1, 2) == 0, false);
	give(0, addr, len, flags);
	CHECK_OR(given_back_empty(0) && silent(), false);
	fe_note_give(&fe, 0);
	CHECK_OR(told_all_changed(), false);
	/* fe_note() has given it again. */
	CHECK_OR(inval(8, 3, 4) == 0 && fe_complete(&fe, 1) > 0, false);
	return silent();
}

static void bad_buffers(void)
{
	const uint16_t w = VRING_DESC_F_WRITE;

	CHECK(fe_begin(&fe, options) && no_buffers());
	CHECK(bad_buffer(SPARE, sizeof(struct inval) - 1, w));
	CHECK(bad_buffer(SPARE, 1, w) && bad_buffer(SPARE, 0, w));
	CHECK(bad_buffer(SPARE, 4096, 0));
	CHECK(bad_buffer(NOWHERE, 4096, w) && bad_buffer(UINT64_MAX, 1, w));
	CHECK(bad_buffer(NOWHERE - 8, 4096, w));
	/* A chain without an end, in which there would be room. */
	CHECK(bad_buffer(SPARE, 4, w | VRING_DESC_F_NEXT));
	CHECK(bad_buffer(SPARE, 16, VRING_DESC_F_INDIRECT));
	/* Ever more that are of no use, while there is something to be said. */
	CHECK(inval(7, 1, 2) == 0);
	for (int i = 0; i < 5000; i++) {
		give(0, SPARE, 8, w);
		CHECK(given_back_empty(0));
	}
	CHECK(fe_file(&fe, "f", 1) && fe_lookup(&fe, "f", NULL));
	fe_note_give(&fe, 0);
	CHECK(told_all_changed());
	CHECK(fe_end(&fe) == 0);
}

/* A ring that makes no sense is left alone; requests are served. */
static void bad_ring(void)
{
	struct vring_avail *avail;

	CHECK(fe_begin(&fe, options));
	avail = fe_avail(&fe, 1);
	avail->idx += FE_QUEUE_SIZE + 1;
	CHECK(inval(7, 1, 2) == 0 && silent());
	CHECK(fe_file(&fe, "f", 1) && fe_lookup(&fe, "f", NULL));
	CHECK(fe_end(&fe) == 0);
}

/* QEMU says at each start of the device what the guest has agreed to. */
static bool agree_again(void)
{
	uint64_t value;

	return fe_call(&fe, VU_GET_FEATURES, NULL, 0, &value, 8) == 8 &&
	       fe_send(&fe, VU_SET_FEATURES, &value, 8, -1, false) == 0;
}

static void stop_and_go_on(void)
{
	CHECK(fe_begin(&fe, options) && no_buffers());
	CHECK(inval(7, 1, 2) == 0 && inval(8, 3, 4) == 0);
	CHECK(fe_stop_queues(&fe));
	for (int i = 0; i < FE_NOTES; i++)
		fe_note_give(&fe, i);
	CHECK(silent() && agree_again());
	fe_start_queues(&fe, false);
	CHECK(told(7, 1, 2) && told(8, 3, 4) && silent());
	/* With nothing that waits, and with buffers that were there before. */
	CHECK(fe_stop_queues(&fe));
	fe_start_queues(&fe, false);
	CHECK(silent() && inval(9, 5, 6) == 0 && told(9, 5, 6));
	/* And with what was too much. */
	CHECK(no_buffers());
	for (int i = 0; i <= NOTIFY_MAX_WAITING; i++)
		CHECK(inval(2000 + i, i, 1) == 0);
	CHECK(fe_stop_queues(&fe) && agree_again());
	fe_start_queues(&fe, false);
	fe_note_give(&fe, 0);
	CHECK(told_all_changed());
	CHECK(fe_end(&fe) == 0);
}

/* After a reset the guest knows nothing that could be corrected. */
static void reset(void)
{
	struct fuse_init_out out;

	CHECK(fe_begin(&fe, options) && no_buffers());
	CHECK(inval(7, 1, 2) == 0);
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	CHECK(agree_again());
	fe_start_queues(&fe, true);
	CHECK(silent() && fe_init(&fe, &out) == 0 && silent());
	CHECK(inval(8, 3, 4) == 0 && told(8, 3, 4) && silent());
	CHECK(fe_end(&fe) == 0);
}

int main(int argc, char **argv)
{
	static const struct fs_test tests[] = {
		TEST(said_and_heard),
		TEST(queue_for_requests_else),
		TEST(what_waits_is_joined),
		TEST(what_waits_is_bounded),
		TEST(bad_buffers),
		TEST(bad_ring),
		TEST(stop_and_go_on),
		TEST(reset),
	};

	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
