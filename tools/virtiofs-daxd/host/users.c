// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/users.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"

static bool entered;
static bool further_groups;

bool users_parse(struct user_map *map, const char *arg)
{
	const char separator = *arg;
	struct user_range *ranges;
	uint32_t values[3];

	if (!separator || isalnum((unsigned char)separator))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		unsigned long value;
		char *end;

		if (!isdigit((unsigned char)arg[1]))
			return false;
		errno = 0;
		value = strtoul(arg + 1, &end, 10);
		if (errno || value > UINT32_MAX || *end != separator)
			return false;
		values[i] = (uint32_t)value;
		arg = end;
	}
	if (arg[1] || !values[2])
		return false;
	ranges = reallocarray(map->ranges, map->nr + 1, sizeof(*ranges));
	if (!ranges)
		return false;
	ranges[map->nr++] = (struct user_range){ values[0], values[1], values[2] };
	map->ranges = ranges;
	return true;
}

static bool put(pid_t pid, const char *name, const char *text)
{
	ssize_t len = (ssize_t)strlen(text);
	char path[48];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, (size_t)len) == len;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Who has no privilege may have himself in the map, and nobody else. */
static bool is_self(const struct user_map *map, uint32_t self)
{
	return map->nr == 1 && map->ranges[0].outside == self &&
	       map->ranges[0].count == 1;
}

/* By a program that may; does not return. */
static void run_helper(const char *program, pid_t pid, const struct user_map *map)
{
	char **argv = calloc(3 * map->nr + 3, sizeof(*argv));
	size_t n = 0;

	if (!argv || asprintf(&argv[1], "%d", pid) < 0)
		_exit(1);
	argv[n++] = (char *)program;
	n++;
	for (size_t i = 0; i < map->nr; i++) {
		const struct user_range *range = &map->ranges[i];

		if (asprintf(&argv[n++], "%u", range->inside) < 0 ||
		    asprintf(&argv[n++], "%u", range->outside) < 0 ||
		    asprintf(&argv[n++], "%u", range->count) < 0)
			_exit(1);
	}
	execvp(program, argv);
	log_err("%s: %s", program, strerror(errno));
	_exit(1);
}

static bool ended_well(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static bool set_map(pid_t pid, const char *name, const char *program,
		    const struct user_map *map, uint32_t self)
{
	const struct user_range own = { self, self, 1 };
	const struct user_range *range = map->nr ? map->ranges : &own;
	char line[48];
	pid_t child;

	if (!map->nr || is_self(map, self)) {
		snprintf(line, sizeof(line), "%u %u 1\n", range->inside, self);
		if (put(pid, name, line))
			return true;
		log_err("user namespace: %s: %s", name, strerror(errno));
		return false;
	}
	child = fork();
	if (!child)
		run_helper(program, pid, map);
	if (ended_well(child))
		return true;
	log_err("user namespace: %s has failed (see subuid(5))", program);
	return false;
}

/* In a process outside of the namespace, for the one inside. */
static bool set_maps(pid_t pid, const struct user_map *uids,
		     const struct user_map *gids)
{
	/* The kernel wants that of who has no privilege outside. */
	if ((!gids->nr || is_self(gids, getegid())) &&
	    !put(pid, "setgroups", "deny")) {
		log_err("user namespace: setgroups: %s", strerror(errno));
		return false;
	}
	return set_map(pid, "uid_map", "newuidmap", uids, geteuid()) &&
	       set_map(pid, "gid_map", "newgidmap", gids, getegid());
}

/* Sets the maps of who has started it, once he says that he is there. */
static pid_t start_mapper(const struct user_map *uids, const struct user_map *gids,
			  int ready[2])
{
	pid_t pid = fork();
	char c;

	if (pid)
		return pid;
	close(ready[1]);
	_exit(read(ready[0], &c, 1) != 1 || !set_maps(getppid(), uids, gids));
}

/* Root of the namespace, if there is one; else who runs the daemon is not changed. */
static void become_root(void)
{
	if (setresgid(0, 0, 0) && errno != EINVAL)
		log_warn("user namespace: setresgid: %s", strerror(errno));
	if (setresuid(0, 0, 0) && errno != EINVAL)
		log_warn("user namespace: setresuid: %s", strerror(errno));
}

/* Beside his own, which may be in the list or not. */
static bool have_further_groups(void)
{
	int nr = getgroups(0, NULL);
	gid_t group;

	return nr > 1 ||
	       (nr == 1 && getgroups(1, &group) == 1 && group != getegid());
}

int users_enter(const struct user_map *uids, const struct user_map *gids)
{
	int ready[2], err = 0;
	pid_t mapper;

	/* There all that are not in the map look the same. */
	further_groups = have_further_groups();
	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	mapper = start_mapper(uids, gids, ready);
	if (mapper < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS)) {
		err = -errno;
		log_err("user namespace: %s (see --sandbox)", strerror(-err));
	} else if (write(ready[1], "r", 1) != 1) {
		err = -errno;
	}
	close(ready[0]);
	close(ready[1]);
	if (!ended_well(mapper) && !err)
		err = -EPERM;
	if (!err)
		become_root();
	entered = !err;
	return err;
}

bool users_entered(void)
{
	return entered;
}

bool users_further_groups(void)
{
	return entered ? further_groups : have_further_groups();
}
