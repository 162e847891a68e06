// SPDX-License-Identifier: GPL-2.0
/*
 * What a side of pair_model_test.c sees of the tree, compared with the model.
 */
#include <dirent.h>
#include <stdarg.h>
#include <sys/xattr.h>

#include "pair_model.h"

#define LATE_MS		1000
/* Stale answers that are told, of those that are counted */
#define STALE_TOLD	20
/* All names are looked at after each so many operations. */
#define ALL_OPS		100
#define OWN_OPS		5

/* A stale answer */
void pm_wrong(struct pm_side *s, const char *path, const char *format, ...)
{
	char a[PM_PATH], b[PM_PATH];
	va_list args;

	if (s->stale++ >= STALE_TOLD)
		return;
	pm_path_of(s->op.a, a);
	pm_path_of(s->op.b, b);
	printf("# STALE: seed %lu, operation %lu, %s of %s (%s) at %ld, %zu bytes: ",
	       s->seed, s->op.number, s->op.kind->name, a, b, (long)s->op.pos,
	       s->op.len);
	printf("side %u sees %s: ", s->number, path);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static void is_number(struct pm_side *s, const char *path, const char *what,
		      long seen, long must)
{
	s->looks++;
	if (seen != must)
		pm_wrong(s, path, "%s %ld, must be %ld", what, seen, must);
}

static void is_time(struct pm_side *s, const char *path, const char *what,
		    const struct timespec *seen, const struct timespec *must)
{
	s->looks++;
	/* Nobody has looked yet */
	if (!must->tv_sec)
		return;
	if (memcmp(seen, must, sizeof(*must)))
		pm_wrong(s, path, "%s %ld.%09ld, must be %ld.%09ld", what,
			 seen->tv_sec, seen->tv_nsec, must->tv_sec,
			 must->tv_nsec);
}

/* Where bytes differ, or -1 */
static long differ(const struct pm_node *node, const char *bytes)
{
	off_t i;

	if (!memcmp(bytes, node->data, node->size))
		return -1;
	for (i = 0; bytes[i] == node->data[i];)
		i++;
	return i;
}

/* Who has written a word of what was seen is the seed of its pattern. */
static void is_data(struct pm_side *s, const char *path, const char *what,
		    const struct pm_node *node, const char *bytes)
{
	long at = differ(node, bytes), word = at / 8 * 8;

	s->looks++;
	if (at >= 0)
		pm_wrong(s, path, "%s at %ld of %ld: %#x, must be %#x (operation %ld, must be %ld)",
			 what, at, (long)node->size, (unsigned char)bytes[at],
			 (unsigned char)node->data[at],
			 (long)pattern_seed(bytes + word, word),
			 (long)pattern_seed(node->data + word, word));
}

/* ---- looks ---- */

static char buffer[PM_MAX_SIZE + PAGE];

static void look_read(struct pm_side *s, const char *path, const char *what,
		      struct pm_node *node, int fd)
{
	ssize_t n = pread(fd, buffer, PM_MAX_SIZE + 1, 0);

	is_number(s, path, what, n, node->size);
	if (n == node->size)
		is_data(s, path, what, node, buffer);
}

static bool copy_map(const struct pm_node *node, const char *map)
{
	off_t pos;

	for (pos = 0; pos < node->size; pos += PAGE)
		if (touch_copy(buffer + pos, map + pos))
			return false;
	return true;
}

static void look_map(struct pm_side *s, const char *path, const char *what,
		     struct pm_node *node, const char *map)
{
	bool copied = copy_map(node, map);

	is_number(s, path, "no SIGBUS", copied, 1);
	if (copied)
		is_data(s, path, what, node, buffer);
}

static void look_private(struct pm_side *s, const char *path, struct pm_node *node,
			 int fd)
{
	char *map = map_file(fd, PM_MAX_SIZE, PROT_READ, MAP_PRIVATE);
	long until = now_ms() + LATE_MS;
	bool late = false;

	while (map != MAP_FAILED && now_ms() < until &&
	       (!copy_map(node, map) || differ(node, buffer) >= 0)) {
		late = true;
		sleep_ms(1);
	}
	s->late += late;
	look_map(s, path, "privately mapped", node, map);
	munmap(map, PM_MAX_SIZE);
}

static void look_shared(struct pm_side *s, const char *path, struct pm_node *node,
			int fd)
{
	char *map = map_file(fd, PM_MAX_SIZE, PROT_READ, MAP_SHARED);

	look_map(s, path, "mapped", node, map);
	munmap(map, PM_MAX_SIZE);
}

struct pm_hold *pm_hold(struct pm_side *s, const struct pm_node *node)
{
	return &s->holds[node - s->tree.nodes];
}

void pm_hold_drop(struct pm_hold *hold)
{
	if (hold->map)
		munmap(hold->map, PM_MAX_SIZE);
	if (hold->fd >= 0)
		close(hold->fd);
	*hold = (struct pm_hold){ .fd = -1 };
}

/* Nobody who might map it for writing has a file that has got a hole. */
static void hold_check(struct pm_side *s, const struct pm_node *node)
{
	struct pm_hold *hold = pm_hold(s, node);

	if (hold->writable && node->holes)
		pm_hold_drop(hold);
}

/* Takes the descriptor, sometimes. */
static bool hold_take(struct pm_side *s, struct pm_node *node, int fd,
		      bool writable)
{
	struct pm_hold *hold = pm_hold(s, node);

	if (hold->fd >= 0 || ex_random(&s->random, 4))
		return false;
	*hold = (struct pm_hold){ .fd = fd, .writable = writable };
	if (!ex_random(&s->random, 2))
		hold->map = map_file(fd, PM_MAX_SIZE, PROT_READ, MAP_SHARED);
	return true;
}

/* By the descriptor that is kept, also of a file that has no name any more */
static void look_held(struct pm_side *s, const char *path, struct pm_node *node)
{
	struct pm_hold *hold = node ? pm_hold(s, node) : NULL;
	struct stat st;

	if (!hold || hold->fd < 0)
		return;
	if (!fstat(hold->fd, &st)) {
		is_number(s, path, "size by descriptor", st.st_size,
			  node->size);
		is_number(s, path, "links by descriptor", st.st_nlink,
			  node->nlink);
	}
	if (hold->map)
		look_map(s, path, "mapped before", node, hold->map);
	look_read(s, path, "read by descriptor", node, hold->fd);
	if (!node->nlink || !ex_random(&s->random, 8))
		pm_hold_drop(hold);
}

static void look_open(struct pm_side *s, const char *path, struct pm_node *node)
{
	bool writable = node && !node->holes && !ex_random(&s->random, 6);
	int fd;

	if (node && node->type != PM_FILE)
		return;
	fd = openat(s->dirfd, path, O_NOFOLLOW | O_CLOEXEC |
		    (writable ? O_RDWR : O_RDONLY));
	is_number(s, path, "open", fd >= 0, !!node);
	if (!node || fd < 0) {
		close(fd);
		return;
	}
	if (!ex_random(&s->random, 8))
		look_private(s, path, node, fd);
	look_read(s, path, "read", node, fd);
	if (!ex_random(&s->random, 4))
		look_shared(s, path, node, fd);
	if (!hold_take(s, node, fd, writable))
		close(fd);
}

static mode_t type_bits(const struct pm_node *node)
{
	static const mode_t bits[] = {
		[PM_FILE] = S_IFREG, [PM_DIR] = S_IFDIR, [PM_LINK] = S_IFLNK,
	};

	return bits[node->type];
}

static void look_attributes(struct pm_side *s, const char *path,
			    struct pm_node *node)
{
	struct stat st;
	int ret = fstatat(s->dirfd, path, &st, AT_SYMLINK_NOFOLLOW);

	is_number(s, path, "there", !ret, !!node);
	if (ret || !node)
		return;
	is_number(s, path, "mode", st.st_mode, type_bits(node) | node->mode);
	is_time(s, path, "mtime", &st.st_mtim, &node->mtime);
	is_time(s, path, "ctime", &st.st_ctim, &node->ctime);
	if (node->type != PM_DIR)
		is_number(s, path, "links", st.st_nlink, node->nlink);
	if (node->type == PM_FILE)
		is_number(s, path, "size", st.st_size, node->size);
}

static void look_xattr(struct pm_side *s, const char *path, struct pm_node *node)
{
	char full[PATH_MAX + 64];
	unsigned long value = 0;

	if (!s->tree.xattrs || !node || node->type != PM_FILE)
		return;
	snprintf(full, sizeof(full), "%s/tree/%s", s->share.dir, path);
	if (lgetxattr(full, PM_XATTR, &value, sizeof(value)) < 0)
		value = errno == ENODATA ? 0 : -1;
	is_number(s, path, "attribute", value, node->value);
}

static void look_link(struct pm_side *s, const char *path, struct pm_node *node)
{
	char target[PM_PATH], must[PM_PATH];
	ssize_t n;

	if (!node || node->type != PM_LINK)
		return;
	pm_target(node, must);
	n = readlinkat(s->dirfd, path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = 0;
	s->looks++;
	if (strcmp(target, must))
		pm_wrong(s, path, "target %s, must be %s", target, must);
}

static void is_listed(struct pm_side *s, const char *path, struct pm_node *node,
		      const char *name)
{
	int n;

	s->looks++;
	if (sscanf(name, "n%d", &n) != 1 || n < 0 || n >= PM_NAMES ||
	    !node->names[n])
		pm_wrong(s, path, "%s, which is not there, in the listing", name);
}

static void look_listing(struct pm_side *s, const char *path, struct pm_node *node)
{
	unsigned int i, listed = 0, must = 0;
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (!node || node->type != PM_DIR)
		return;
	fd = openat(s->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			is_listed(s, path, node, entry->d_name);
			listed++;
		}
	for (i = 0; i < PM_NAMES; i++)
		must += !!node->names[i];
	is_number(s, path, "names listed", listed, must);
	if (dir)
		closedir(dir);
}

/* What is asked first after a barrier is another thing each time. */
static void look(struct pm_side *s, const char *path, struct pm_node *node)
{
	static void (*const looks[])(struct pm_side *s, const char *path,
				     struct pm_node *node) = {
		look_attributes, look_open, look_held, look_listing, look_link,
		look_xattr,
	};
	size_t i, first = ex_random(&s->random, ARRAY_SIZE(looks));

	for (i = 0; i < ARRAY_SIZE(looks); i++)
		looks[(first + i) % ARRAY_SIZE(looks)](s, path, node);
}

static void look_place(struct pm_side *s, struct pm_place place)
{
	char path[PM_PATH];

	pm_path_of(place, path);
	look(s, path, pm_at(&s->tree, place));
}

static void look_all(struct pm_side *s)
{
	struct pm_place place;

	look(s, ".", s->tree.nodes);
	for (place.dir = -1; place.dir < PM_NAMES; place.dir++)
		for (place.name = 0; place.name < PM_NAMES; place.name++)
			look_place(s, place);
}

static bool is_at(struct pm_side *s, const struct pm_node *node)
{
	return node == pm_at(&s->tree, s->op.a) ||
	       node == pm_at(&s->tree, s->op.b);
}

/* What an operation touched, besides what its names lead to now */
static void look_touched(struct pm_side *s, struct pm_node *node)
{
	char path[PM_PATH];

	if (is_at(s, node))
		return;
	if (pm_find(&s->tree, node, path))
		look(s, path, node);
	else
		look_held(s, "what is gone", node);
}

/* What the operation has touched, and sometimes something else */
static void look_after(struct pm_side *s)
{
	unsigned int i;

	look_place(s, s->op.b);
	look_place(s, s->op.a);
	for (i = 0; i < s->op.nr_touched; i++)
		look_touched(s, s->op.touched[i]);
	if (s->op.number % ALL_OPS == 0)
		look_all(s);
}

/* Who has done it knows it, as a rule, and looks now and then only. */
void pm_look(struct pm_side *s, bool own)
{
	struct pm_op *op = &s->op;
	unsigned int i;

	for (i = 0; i < op->nr_touched; i++)
		hold_check(s, op->touched[i]);
	if (!own || op->number % OWN_OPS == 0)
		look_after(s);
	/* A node that is gone may become another. */
	for (i = 0; i < op->nr_touched; i++)
		if (!op->touched[i]->nlink)
			pm_hold_drop(pm_hold(s, op->touched[i]));
}
