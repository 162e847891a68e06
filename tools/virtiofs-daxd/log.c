// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static const char *const log_names[] = { "error", "warn", "info", "debug" };
static const int log_priorities[] = {
	LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG
};

/* Constant once log_open() has returned, which is before any thread starts. */
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_to_syslog;
static FILE *log_stream;

bool log_level_parse(const char *name, enum log_level *level)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (!strcmp(name, log_names[i])) {
			*level = i;
			return true;
		}
	}
	return false;
}

int log_open(enum log_level level, const char *file, bool syslog)
{
	log_max = level;
	if (file) {
		/* It names what is shared: for its owner only. */
		int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
			      0600);

		log_stream = fd < 0 ? NULL : fdopen(fd, "a");
		if (!log_stream)
			return -errno;
		setvbuf(log_stream, NULL, _IOLBF, 0);
	}
	if (syslog) {
		/* Connect now: there may be no /dev/log later. */
		openlog("virtiofs-daxd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		/* Nor the host's /etc/localtime, but perhaps the guest's. */
		tzset();
		log_to_syslog = true;
	}
	return 0;
}

bool log_enabled(enum log_level level)
{
	return level <= log_max;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[1024];
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (log_to_syslog)
		syslog(log_priorities[level], "%s", line);
	else
		fprintf(log_stream ?: stderr, "virtiofs-daxd: %s: %s\n",
			log_names[level], line);
	errno = saved_errno;
}
