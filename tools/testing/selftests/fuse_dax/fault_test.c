// SPDX-License-Identifier: GPL-2.0
/*
 * A server that refuses setups and removes, with any error.
 *
 * What is done here runs in tasks of their own, as it may never end. "Bounded"
 * is at most BOUND requests and no sleep beyond the server's own time.
 */
#include <sys/mount.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define RW	(PROT_READ | PROT_WRITE)
#define BLOCK	(64 * KiB)
#define SEED	FAULT_SEED

/* Setups that were refused since this was asked last. */
static long refused(const struct dax_fs *fs, long *before)
{
	long now = fault_hits(fs, "SETUPMAPPING"), n = now - *before;

	*before = now;
	return n;
}

/* The whole window is free again once @file is gone. */
static int nothing_leaked(struct dax_fs *fs, struct fault_file *file)
{
	fault_file_close(file);
	unlinkat(fs->dirfd, "file", 0);
	return counters_at_rest(fs);
}

FIXTURE(setup)
{
	struct dax_fs fs;
	struct fault_file file;
};

/*
 * What a host that is short of something says, what makes no sense, and what is
 * no errno at all.
 */
FIXTURE_VARIANT(setup)
{
	int error;
};

FIXTURE_VARIANT_ADD(setup, enomem) { .error = ENOMEM };
FIXTURE_VARIANT_ADD(setup, enospc) { .error = ENOSPC };
FIXTURE_VARIANT_ADD(setup, edquot) { .error = EDQUOT };
FIXTURE_VARIANT_ADD(setup, emfile) { .error = EMFILE };
FIXTURE_VARIANT_ADD(setup, eagain) { .error = EAGAIN };
FIXTURE_VARIANT_ADD(setup, ebusy) { .error = EBUSY };
FIXTURE_VARIANT_ADD(setup, einval) { .error = EINVAL };
FIXTURE_VARIANT_ADD(setup, eio) { .error = EIO };
FIXTURE_VARIANT_ADD(setup, eintr) { .error = EINTR };
FIXTURE_VARIANT_ADD(setup, number_333) { .error = 333 };
FIXTURE_VARIANT_ADD(setup, erestartsys) { .error = 512 };
FIXTURE_VARIANT_ADD(setup, number_99999) { .error = 99999 };

FIXTURE_SETUP(setup)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(setup)
{
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a setup that fails does not keep a file from being read and written.
 * Wrong: the error reaches read() or write(); a loop; a range that is lost.
 * Right: both succeed by FUSE_READ and FUSE_WRITE, bounded.
 * in-tree 7.3: fails, the error is returned.
 */
TEST_F(setup, read_and_write_fall_back)
{
	long before = 0, took, n;

	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 errno=%d",
			       variant->error));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, SEED),
				    SOON_MS, &took));
	n = refused(&self->fs, &before);
	TH_LOG("read: %ld ms, %ld setups", took, n);
	EXPECT_LE(1, n);
	EXPECT_GE(BOUND, n);
	EXPECT_EQ(ENDED_WELL, ended(go_write(self->file.fd, 0, BLOCK, 1),
				    SOON_MS, &took));
	n = refused(&self->fs, &before);
	TH_LOG("write: %ld ms, %ld setups", took, n);
	EXPECT_LE(1, n);
	EXPECT_GE(BOUND, n);
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, 1),
				    SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, BLOCK, BLOCK, SEED),
				    SOON_MS, NULL));
	EXPECT_EQ(0, nothing_leaked(&self->fs, &self->file));
}

/*
 * Rule: a fault whose setup fails ends.
 * Wrong: it is repeated without end; the task cannot be killed; or all later
 * accesses fail too.
 * Right: SIGBUS, bounded; and memory once the server gives it.
 * in-tree 7.3: fails with EAGAIN, which is taken for "no range is free", and with
 * ENOMEM, which becomes VM_FAULT_OOM: both are repeated without end, thousands of
 * setups a second. The others pass.
 */
TEST_F(setup, fault_is_sigbus)
{
	long before = 0, took, n;

	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 errno=%d",
			       variant->error));
	EXPECT_EQ(ENDED_SIGBUS, ended(go_load(self->file.map, 5, SEED),
				      SOON_MS, &took));
	n = refused(&self->fs, &before);
	TH_LOG("load: %ld ms, %ld setups", took, n);
	EXPECT_LE(1, n);
	EXPECT_GE(BOUND, n);
	EXPECT_EQ(ENDED_SIGBUS, ended(go_store(self->file.map, 5, SEED),
				      SOON_MS, &took));
	n = refused(&self->fs, &before);
	TH_LOG("store: %ld ms, %ld setups", took, n);
	EXPECT_LE(1, n);
	EXPECT_GE(BOUND, n);
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 5, SEED), SOON_MS,
				    NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_store(self->file.map, 5, SEED), SOON_MS,
				    NULL));
	EXPECT_EQ(0, nothing_leaked(&self->fs, &self->file));
}

/*
 * Rule: a file that cannot be mapped is shown by the page cache to those who only
 * load from it, or store to pages of their own.
 * Wrong: SIGBUS, though read() has the data.
 * Right: the data, bounded; and memory once the server gives it. Who could store
 * to the file by this mapping has what fault_is_sigbus says: what others, on the
 * host, have in the same place would not be what he sees.
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F(setup, load_is_cached)
{
	int fd = openat(self->fs.dirfd, "file", O_RDONLY);
	char *own, *shared;
	long before = 0, n;
	int i;

	ASSERT_LE(0, fd);
	shared = map_file(fd, FAULT_SIZE, PROT_READ, MAP_SHARED);
	own = map_file(self->file.fd, FAULT_SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, own);
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 errno=%d",
			       variant->error));
	for (i = 0; i < 3; i++) {
		const off_t pos = i * (RANGE / 2 + PAGE) + 5;

		EXPECT_EQ(ENDED_WELL, ended(go_load(shared, pos, SEED),
					    SOON_MS, NULL));
		n = refused(&self->fs, &before);
		EXPECT_GE(BOUND, n);
		EXPECT_EQ(ENDED_WELL, ended(go_load(own, pos, SEED), SOON_MS,
					    NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_store(own, pos, 1), SOON_MS,
					    NULL));
		n = refused(&self->fs, &before);
		EXPECT_GE(2 * BOUND, n);
		EXPECT_EQ(ENDED_WELL, ended(go_load(shared, pos, SEED),
					    SOON_MS, NULL));
		n = refused(&self->fs, &before);
		EXPECT_GE(BOUND, n);
	}
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 5, SEED), SOON_MS,
				    NULL));
	if (counter(&self->fs, "mappings_live") >= 0)
		EXPECT_LE(1, counter(&self->fs, "mappings_live"));
	munmap(shared, FAULT_SIZE);
	munmap(own, FAULT_SIZE);
	close(fd);
	EXPECT_EQ(0, nothing_leaked(&self->fs, &self->file));
}

FIXTURE(limit)
{
	struct dax_fs fs;
	struct fault_file file;
	char *maps[4];
};

/* Whether the error tells of a budget, or only of what is so for now */
FIXTURE_VARIANT(limit)
{
	int error;
	bool lasts;
};

FIXTURE_VARIANT_ADD(limit, enomem) { .error = ENOMEM, .lasts = true };
FIXTURE_VARIANT_ADD(limit, enospc) { .error = ENOSPC, .lasts = true };
FIXTURE_VARIANT_ADD(limit, edquot) { .error = EDQUOT, .lasts = true };
FIXTURE_VARIANT_ADD(limit, emfile) { .error = EMFILE };
FIXTURE_VARIANT_ADD(limit, enfile) { .error = ENFILE };
FIXTURE_VARIANT_ADD(limit, eagain) { .error = EAGAIN };
FIXTURE_VARIANT_ADD(limit, ebusy) { .error = EBUSY };

/* Of a setup for writing, these are about the file. */
static bool about_space(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

FIXTURE_SETUP(limit)
{
	bool write = !about_space(variant->error);
	char name[16];
	int fd, i;

	FAULT_SETUP(self);
	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		fd = file_make(&self->fs, name, RANGE, i);
		ASSERT_LE(0, fd);
		close(fd);
		fd = openat(self->fs.dirfd, name, write ? O_RDWR : O_RDONLY);
		ASSERT_LE(0, fd);
		self->maps[i] = map_file(fd, RANGE, write ? RW : PROT_READ,
					 MAP_SHARED);
		ASSERT_NE(MAP_FAILED, self->maps[i]);
		close(fd);
	}
}

FIXTURE_TEARDOWN(limit)
{
	int i;

	for (i = 0; i < 4; i++)
		munmap(self->maps[i], RANGE);
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a server that has no room for another mapping is given room.
 * Wrong: SIGBUS although mappings could be taken from other files.
 * Right: the fault takes one away, tries again and succeeds, bounded; the
 * driver says how many mappings there was room for, and makes no more at once.
 * in-tree 7.3: skipped, it has no counters. It sends a second setup because a
 * fault for a huge page is repeated for a small one.
 */
TEST_F(limit, fault_makes_room)
{
	long errors, took;
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(ENDED_WELL, ended(go_load(self->maps[i], 7, i),
					    SOON_MS, NULL));
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING errno=%d",
			       variant->error));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->maps[2], 7, 2), SOON_MS,
				    &took));
	TH_LOG("load: %ld ms", took);
	EXPECT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
	NEED_COUNTERS(&self->fs);
	errors = counter(&self->fs, "setup_errors");
	EXPECT_EQ(1, errors);
	EXPECT_EQ(2, counter(&self->fs, "mappings_live"));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->maps[i], 9, i),
					    SOON_MS, NULL));
	EXPECT_EQ(errors, counter(&self->fs, "setup_errors"));
}

/*
 * Rule: a server that has been short of something once is not taken to be for
 * ever.
 * Wrong: the limit of the worst moment holds until umount, and all who use a few
 * files take the mappings from each other.
 * Right: all four files are mapped at the same time soon after that; at once
 * where the error says that it is for now.
 * in-tree 7.3: skipped, it has no counters.
 */
TEST_F_TIMEOUT(limit, is_probed, 120)
{
	long start, end;
	int i;

	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING errno=%d",
			       variant->error));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->maps[0], 7, 0), SOON_MS,
				    NULL));
	start = now_ms();
	end = start + (variant->lasts ? 60000 : 10000);
	while (counter(&self->fs, "mappings_live") < 4 && now_ms() < end) {
		for (i = 0; i < 4; i++)
			EXPECT_EQ(ENDED_WELL,
				  ended(go_load(self->maps[i], 9, i), SOON_MS,
					NULL));
		sleep_ms(100);
	}
	TH_LOG("%ld mappings of %ld after %ld ms",
	       counter(&self->fs, "mappings_live"),
	       counter(&self->fs, "mappings_max"), now_ms() - start);
	EXPECT_EQ(4, counter(&self->fs, "mappings_live"));
	EXPECT_LE(4, counter(&self->fs, "mappings_max"));
	/* The server was asked once for what it did not have, not again and again */
	EXPECT_EQ(1, counter(&self->fs, "setup_errors"));
	if (variant->lasts)
		return;
	EXPECT_EQ(counter(&self->fs, "ranges_total"),
		  counter(&self->fs, "mappings_max"));
}

FIXTURE(full)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_VARIANT(full)
{
	int error;
};

FIXTURE_VARIANT_ADD(full, enospc) { .error = ENOSPC };
FIXTURE_VARIANT_ADD(full, edquot) { .error = EDQUOT };

FIXTURE_SETUP(full)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(full)
{
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a full file system is reported to who writes.
 * Wrong: a fallback that hides it; SIGBUS; or another error.
 * Right: the error of FUSE_WRITE from write(), the old data stays, and reads go
 * on.
 * in-tree 7.3: fails, write() gets the error of each setup, also when there is
 * room again.
 */
TEST_F(full, write_gets_the_error)
{
	long took;

	ASSERT_EQ(0, fault_set(&self->fs,
			       "op=SETUPMAPPING count=0 write errno=%d\n"
			       "op=WRITE errno=%d",
			       variant->error, variant->error));
	EXPECT_EQ(variant->error, ended(go_write(self->file.fd, 0, BLOCK, 1),
					SOON_MS, &took));
	TH_LOG("write: %ld ms, %ld setups", took,
	       fault_hits(&self->fs, "SETUPMAPPING"));
	EXPECT_GE(BOUND, fault_hits(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, SEED),
				    SOON_MS, NULL));
	/* The rule of WRITE was for one: there is room again. */
	EXPECT_EQ(ENDED_WELL, ended(go_write(self->file.fd, 0, BLOCK, 1),
				    SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, 1),
				    SOON_MS, NULL));
}

/*
 * Rule: to load from a file no space is needed, though it is open for writing.
 * Wrong: SIGBUS; or a file that is full limits the mappings of all others.
 * Right: it is mapped for reading; a store gets SIGBUS; no limit is learnt.
 */
TEST_F(full, load_needs_no_space)
{
	int i;

	ASSERT_EQ(0, fault_set(&self->fs,
			       "op=SETUPMAPPING count=0 write errno=%d",
			       variant->error));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 5, SEED),
					    SOON_MS, NULL));
		EXPECT_EQ(ENDED_SIGBUS, ended(go_store(self->file.map, 5, SEED),
					      SOON_MS, NULL));
	}
	/* Of each store one is to set the mapping up anew */
	EXPECT_GE(4 * BOUND + 2, fault_hits(&self->fs, "SETUPMAPPING"));
	NEED_COUNTERS(&self->fs);
	EXPECT_EQ(counter(&self->fs, "ranges_total"),
		  counter(&self->fs, "mappings_max"));
}

FIXTURE(never)
{
	struct dax_fs fs;
	struct fault_file file;
	int kmsg;
};

FIXTURE_VARIANT(never)
{
	int error;
};

FIXTURE_VARIANT_ADD(never, enosys) { .error = ENOSYS };

/* A server that knows nothing of setups; the first one has told the driver. */
FIXTURE_SETUP(never)
{
	self->kmsg = -1;
	FAULT_SETUP(self);
	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->kmsg);
	lseek(self->kmsg, 0, SEEK_END);
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 errno=%d",
			       variant->error));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, SEED),
				    SOON_MS, NULL));
}

FIXTURE_TEARDOWN(never)
{
	close(self->kmsg);
	FAULT_TEARDOWN(self);
}

/* Messages of the kernel about DAX, since it was opened. */
static int messages(int kmsg)
{
	char line[1024];
	ssize_t len;
	int n = 0;

	for (;;) {
		len = read(kmsg, line, sizeof(line) - 1);
		if (len <= 0)
			return n;
		line[len] = '\0';
		if (strstr(line, "DAX"))
			n++;
	}
}

/*
 * Rule: files that are in use when the server turns out not to know of setups
 * are read and written.
 * Wrong: the error reaches read(); a setup for each access.
 * Right: right data by fallback, one setup in all, one message; loads and stores
 * of mappings that exist get SIGBUS at once.
 * in-tree 7.3: fails, ENOSYS is returned.
 */
TEST_F(never, open_files_go_on)
{
	long took;
	int i;

	for (i = 0; i < 8; i++) {
		EXPECT_EQ(ENDED_WELL,
			  ended(go_write(self->file.fd, i * BLOCK, BLOCK, 1),
				SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL,
			  ended(go_read(self->file.fd, i * BLOCK, BLOCK, 1),
				SOON_MS, NULL));
	}
	EXPECT_EQ(ENDED_SIGBUS, ended(go_load(self->file.map, 0, 1), SOON_MS,
				      &took));
	TH_LOG("load: %ld ms", took);
	EXPECT_EQ(ENDED_SIGBUS, ended(go_store(self->file.map, 0, 1), SOON_MS,
				      &took));
	TH_LOG("store: %ld ms", took);
	EXPECT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(1, messages(self->kmsg));
}

/*
 * Rule: files that are opened later are ordinary files.
 * Wrong: files that cannot be mapped, for as long as the mount lasts.
 * Right: they are not DAX, and loads and stores work: of a new file, of one that
 * was there, and of the first one when nobody uses it any more.
 * in-tree 7.3: fails, it asks for each file.
 */
TEST_F(never, later_files_are_ordinary)
{
	char *map;
	int fd;

	fd = file_make(&self->fs, "new", FAULT_SIZE, 3);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(fd_is_dax(fd));
	map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(ENDED_WELL, ended(go_load(map, RANGE, 3), SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_store(map, RANGE, 4), SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_read(fd, RANGE, 1, 4), SOON_MS, NULL));
	munmap(map, FAULT_SIZE);
	close(fd);

	fault_file_close(&self->file);
	fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(fd_is_dax(fd));
	map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(ENDED_WELL, ended(go_load(map, RANGE, SEED), SOON_MS, NULL));
	munmap(map, FAULT_SIZE);
	close(fd);
	EXPECT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
}

FIXTURE(unmappable)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_SETUP(unmappable)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(unmappable)
{
	FAULT_TEARDOWN(self);
}

/*
 * Rule: that one file cannot be mapped says nothing of others.
 * Wrong: no file of the mount is mapped any more.
 * Right: it is read and written by request, and not asked for again; another
 * is DAX, and mapped.
 * in-tree 7.3: fails, EOPNOTSUPP is returned.
 */
TEST_F(unmappable, others_are_mapped)
{
	long setups;
	char *map;
	int fd, i;

	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING errno=%d",
			       EOPNOTSUPP));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(ENDED_WELL,
			  ended(go_read(self->file.fd, i * BLOCK, BLOCK, SEED),
				SOON_MS, NULL));
	EXPECT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
	setups = counter(&self->fs, "setups");
	EXPECT_EQ(0, setups);
	fd = file_make(&self->fs, "other", FAULT_SIZE, 3);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(fd_is_dax(fd));
	map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(ENDED_WELL, ended(go_load(map, RANGE, 3), SOON_MS, NULL));
	EXPECT_LT(setups, counter(&self->fs, "setups"));
	munmap(map, FAULT_SIZE);
	close(fd);
}

FIXTURE(remove)
{
	struct dax_fs fs;
	struct fault_file file;
	long ranges;
};

FIXTURE_VARIANT(remove)
{
	int error;
};

FIXTURE_VARIANT_ADD(remove, enomem) { .error = ENOMEM };
FIXTURE_VARIANT_ADD(remove, eio) { .error = EIO };
FIXTURE_VARIANT_ADD(remove, enoent) { .error = ENOENT };

#define BAD	((long)(FAULT_SIZE / RANGE))

/*
 * The file was mapped at the start of the window, and is gone, but the server
 * does not remove that mapping. The rule for setups does nothing but count those
 * at the same place.
 */
FIXTURE_SETUP(remove)
{
	FAULT_SETUP(self);
	fault_file_close(&self->file);
	if (fs_has_max_ranges())
		ASSERT_EQ(0, fs_set_max_ranges(&self->fs, 8));
	self->ranges = window_ranges(&self->fs);
	if (self->ranges < 8)
		SKIP(return, "the size of the window is not known, or too small");
	ASSERT_EQ(0, fault_set(&self->fs,
			       "op=SETUPMAPPING at=0 count=0 delay=0\n"
			       "op=REMOVEMAPPING at=0 count=0 errno=%d",
			       variant->error));
	self->file.fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_EQ(0, file_is_pattern(self->file.fd, 0, FAULT_SIZE, SEED));
	ASSERT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
	fault_file_close(&self->file);
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	ASSERT_EQ(0, fault_wait(&self->fs, "REMOVEMAPPING", 1));
}

FIXTURE_TEARDOWN(remove)
{
	fault_clear(&self->fs);
	fault_file_close(&self->file);
	if (fs_has_max_ranges()) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: ranges at which the server may still show a file show no other one.
 * Wrong: they are used again, and a server that does not replace what is mapped
 * shows one file's data in another.
 * Right: a file larger than the window is read and mapped in the other ranges.
 * The server is asked again, but not without end; and when it removes the
 * mapping, its ranges are free.
 * in-tree 7.3: fails, it gives a message and uses the ranges.
 */
TEST_F_TIMEOUT(remove, quarantine, 60)
{
	const size_t size = 3 * self->ranges * RANGE / 2;
	char *map;
	int fd;

	sleep_ms(1000);
	TH_LOG("%ld removes refused in a second",
	       fault_hits(&self->fs, "REMOVEMAPPING"));
	EXPECT_GE(BOUND, fault_hits(&self->fs, "REMOVEMAPPING"));
	fd = file_make(&self->fs, "large", size, 1);
	ASSERT_LE(0, fd);
	map = map_file(fd, size, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, file_is_pattern(fd, 0, size, 1));
	EXPECT_EQ(0, mem_is_pattern(map, 0, size, 1));
	EXPECT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
	munmap(map, size);
	close(fd);
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "large", 0));
	if (counter(&self->fs, "ranges_total") < 0)
		return;
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free",
				  self->ranges - BAD));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_bad", BAD));

	/* Whatever is to be removed next, this is tried again with it. */
	ASSERT_EQ(0, fault_clear(&self->fs));
	fd = file_make(&self->fs, "other", RANGE, 1);
	EXPECT_EQ(0, file_is_pattern(fd, 0, RANGE, 1));
	close(fd);
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "other", 0));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free", self->ranges));
	EXPECT_EQ(0, counter(&self->fs, "ranges_bad"));
}

/*
 * Rule: such ranges come back without anybody's doing.
 * Wrong: they are lost until the file system is mounted anew.
 * Right: free within 10 s after the server has recovered.
 * in-tree 7.3: skipped, it has no counters.
 */
TEST_F_TIMEOUT(remove, comes_back, 60)
{
	long start = now_ms();

	NEED_COUNTERS(&self->fs);
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_bad", BAD));
	ASSERT_EQ(0, fault_clear(&self->fs));
	while (counter(&self->fs, "ranges_free") != self->ranges &&
	       now_ms() < start + 10000)
		sleep_ms(50);
	TH_LOG("back after %ld ms", now_ms() - start);
	EXPECT_EQ(self->ranges, counter(&self->fs, "ranges_free"));
	EXPECT_EQ(0, counter(&self->fs, "ranges_bad"));
}

/*
 * Rule: a new connection knows nothing of the old one's ranges.
 * Wrong: umount waits for the server to remove them; or they stay bad.
 * Right: umount at once, and all ranges are free.
 * in-tree 7.3: skipped, it has no counters.
 */
TEST_F(remove, new_mount)
{
	long start = now_ms();

	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	TH_LOG("mounted anew after %ld ms", now_ms() - start);
	EXPECT_GT(SOON_MS, now_ms() - start);
	EXPECT_EQ(0, counter(&self->fs, "ranges_bad"));
	EXPECT_EQ(self->ranges, counter(&self->fs, "ranges_free"));
}

TEST_HARNESS_MAIN
