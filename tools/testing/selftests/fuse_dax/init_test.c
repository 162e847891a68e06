// SPDX-License-Identifier: GPL-2.0
/*
 * A server that asks for an alignment of mappings which makes no sense, or which
 * the driver cannot give; or that says of itself what it cannot do. These tests
 * unmount $FUSE_DAX_DIR and put back what was there.
 */
#include <sys/mount.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define SEED	FAULT_SEED

FIXTURE(alignment)
{
	struct dax_fs fs;
	struct fault_file file;
};

/*
 * @bits: map_alignment, log2 of bytes
 * @dax: ranges are that much aligned
 */
FIXTURE_VARIANT(alignment)
{
	unsigned int bits;
	bool dax;
};

FIXTURE_VARIANT_ADD(alignment, byte) { .bits = 0, .dax = true };
FIXTURE_VARIANT_ADD(alignment, below_page) { .bits = 9, .dax = true };
FIXTURE_VARIANT_ADD(alignment, range) { .bits = 21, .dax = true };
FIXTURE_VARIANT_ADD(alignment, two_ranges) { .bits = 22, .dax = false };
FIXTURE_VARIANT_ADD(alignment, as_int) { .bits = 31, .dax = false };
FIXTURE_VARIANT_ADD(alignment, as_long) { .bits = 63, .dax = false };
FIXTURE_VARIANT_ADD(alignment, past_long) { .bits = 64, .dax = false };
FIXTURE_VARIANT_ADD(alignment, one_byte) { .bits = 255, .dax = false };
FIXTURE_VARIANT_ADD(alignment, all_bits) { .bits = 65535, .dax = false };

FIXTURE_SETUP(alignment)
{
	FAULT_SETUP(self);
	fault_file_close(&self->file);
}

FIXTURE_TEARDOWN(alignment)
{
	umount(self->fs.mnt);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	FAULT_TEARDOWN(self);
}

/* Messages of the kernel from now on. */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* How many of them have @text. */
static int log_count(int fd, const char *text)
{
	char line[2048];
	int count = 0;
	ssize_t len;

	while ((len = read(fd, line, sizeof(line) - 1)) > 0) {
		line[len] = '\0';
		count += !!strstr(line, text);
	}
	return count;
}

/*
 * Rule: mappings are as aligned as the server needs them, or there are none.
 * Wrong: a shift by more than a word has; mappings that the server refuses, or
 * worse, rounds; a warning.
 * Right: up to the size of a range, DAX; else the connection is refused, with one
 * message: all use of the mount fails, and it can be mounted again.
 * in-tree 7.3: passes.
 */
TEST_F(alignment, given_or_refused)
{
	char page[PAGE];
	int fd, log;

	log = log_open();
	ASSERT_LE(0, log);
	ASSERT_EQ(0, fault_set(&self->fs, "op=INIT align=%u", variant->bits));
	/* Who waits for the answer to INIT may get another error */
	fs_remount(&self->fs, fs_first_options());
	EXPECT_EQ(variant->dax, self->fs.dirfd >= 0);
	EXPECT_EQ(!variant->dax, log_count(log, "map_alignment"));
	close(log);

	if (!variant->dax) {
		EXPECT_EQ(-1, open(self->fs.dir, O_RDONLY));
		EXPECT_EQ(ECONNREFUSED, errno);
		ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	}
	fd = openat(self->fs.dirfd, "file", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, fault_hits(&self->fs, "INIT"));
	EXPECT_TRUE(fd_is_dax(fd));
	EXPECT_EQ(PAGE, pread(fd, page, PAGE, RANGE + PAGE));
	EXPECT_EQ(0, mem_is_pattern(page, RANGE + PAGE, PAGE, SEED));
	EXPECT_EQ(0, file_write(fd, 0, FAULT_SIZE, SEED));
	EXPECT_EQ(0, file_is_pattern(fd, 0, FAULT_SIZE, SEED));
	close(fd);
}

FIXTURE(answer)
{
	struct dax_fs fs;
	struct fault_file file;
};

/* @flags2: upper half of the flags in the answer to INIT */
FIXTURE_VARIANT(answer)
{
	unsigned int flags2;
};

FIXTURE_VARIANT_ADD(answer, nothing) { .flags2 = 0 };
FIXTURE_VARIANT_ADD(answer, replaces) { .flags2 = 1U << 31 };
FIXTURE_VARIANT_ADD(answer, removes_parts) { .flags2 = 1U << 30 };
FIXTURE_VARIANT_ADD(answer, both) { .flags2 = 3U << 30 };
FIXTURE_VARIANT_ADD(answer, not_asked_for) { .flags2 = 0x3ffff000 };

FIXTURE_SETUP(answer)
{
	FAULT_SETUP(self);
	fault_file_close(&self->file);
}

FIXTURE_TEARDOWN(answer)
{
	umount(self->fs.mnt);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	FAULT_TEARDOWN(self);
}

/*
 * Rule: the driver works with a server that does less than ours, and with one that
 * says it does more than anybody has asked for.
 * Wrong: no mount, or wrong data once the window is full.
 * Right: DAX, and all data right, with more than the window holds.
 * in-tree 7.3: passes.
 */
TEST_F(answer, all_data_right)
{
	const off_t size = 96 * MiB;
	char *map;
	int fd;

	ASSERT_EQ(0, fault_set(&self->fs, "op=INIT flags2=%u",
			       variant->flags2));
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	EXPECT_EQ(1, fault_hits(&self->fs, "INIT"));
	fd = file_make(&self->fs, "large", size, SEED);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fd_is_dax(fd));
	EXPECT_EQ(0, file_is_pattern(fd, 0, size, SEED));
	map = map_file(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	for (off_t pos = 0; pos < size; pos += 5 * RANGE)
		pattern_fill(map + pos, pos, RANGE, SEED + 1);
	for (off_t pos = 0; pos < size; pos += RANGE)
		EXPECT_EQ(0, mem_is_pattern(map + pos, pos, RANGE, SEED +
					    (pos % (5 * RANGE) == 0)));
	munmap(map, size);
	close(fd);
}

TEST_HARNESS_MAIN
