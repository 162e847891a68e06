// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* In place of a level: the last message. */
#define LOG_END -2

/* How long a thread waits, in milliseconds, when there is no room for a line. */
#define LOG_WAIT 100

/**
 * struct log_message - a line on its way to the writer
 * @level: its level, or LOG_END
 * @line: the line
 */
struct log_message {
	int level;
	char line[1024];
};

static const char *const log_names[] = {
	"error", "warn", "info", "debug", "trace"
};
static const int log_priorities[] = {
	LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG
};

/* Constant once log_open() has returned, which is before any thread starts. */
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_to_syslog;
static FILE *log_stream;

/*
 * The writer: a thread that may wait for a file on storage that does not answer,
 * or for who reads standard error. What is sent to it and does not fit for a while
 * is lost.
 *
 * @pair: where it receives, and where others send; each thread with a table of
 *	descriptors of its own has them at the same place
 * @thread: its thread
 * @runs: lines are sent to it; atomic
 * @lost: lines that were lost; atomic
 */
static struct {
	int pair[2];
	pthread_t thread;
	bool runs;
	unsigned int lost;
} writer;

bool log_level_parse(const char *name, enum log_level *level)
{
	if (!strcasecmp(name, "off")) {
		*level = LOG_LEVEL_OFF;
		return true;
	}
	for (int i = 0; i <= LOG_LEVEL_TRACE; i++) {
		if (!strcasecmp(name, log_names[i])) {
			*level = i;
			return true;
		}
	}
	return false;
}

static int open_pair(void)
{
	/* A line is one message: nothing to be put together. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, writer.pair) ||
	    fcntl(writer.pair[1], F_SETFL, O_NONBLOCK))
		return -errno;
	return 0;
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
	return open_pair();
}

static void write_line(int level, const char *line)
{
	if (log_to_syslog)
		syslog(log_priorities[level], "%s", line);
	else
		fprintf(log_stream ?: stderr, "virtiofs-daxd: %s: %s\n",
			log_names[level], line);
}

/* Whoever starts the daemon sees why it does not start, wherever the log is. */
static void write_first(int level, const char *line)
{
	write_line(level, line);
	if (level == LOG_LEVEL_ERROR && (log_to_syslog || log_stream))
		fprintf(stderr, "virtiofs-daxd: error: %s\n", line);
}

static void write_lost(void)
{
	unsigned int lost = __atomic_exchange_n(&writer.lost, 0,
						__ATOMIC_RELAXED);
	char line[64];

	if (!lost)
		return;
	snprintf(line, sizeof(line), "%u messages were lost", lost);
	write_line(LOG_LEVEL_WARN, line);
}

static void *writer_thread(void *arg)
{
	struct log_message msg;

	(void)arg;
	while (read(writer.pair[0], &msg, sizeof(msg)) > 0 &&
	       msg.level != LOG_END) {
		write_line(msg.level, msg.line);
		write_lost();
	}
	return NULL;
}

static bool writer_send(const struct log_message *msg)
{
	size_t len = offsetof(struct log_message, line) + strlen(msg->line) + 1;
	struct pollfd pfd = { .fd = writer.pair[1], .events = POLLOUT };

	/* write() and not send(): every thread may. */
	if (write(pfd.fd, msg, len) > 0)
		return true;
	return poll(&pfd, 1, LOG_WAIT) == 1 && write(pfd.fd, msg, len) > 0;
}

int log_start_writer(void)
{
	int err = pthread_create(&writer.thread, NULL, writer_thread, NULL);

	__atomic_store_n(&writer.runs, !err, __ATOMIC_RELEASE);
	return -err;
}

void log_close(void)
{
	const struct log_message end = { .level = LOG_END };

	if (!__atomic_load_n(&writer.runs, __ATOMIC_ACQUIRE))
		return;
	while (!writer_send(&end))
		;
	pthread_join(writer.thread, NULL);
	__atomic_store_n(&writer.runs, false, __ATOMIC_RELEASE);
}

bool log_enabled(enum log_level level)
{
	return level <= log_max;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	struct log_message msg = { .level = level };
	int saved_errno = errno;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	vsnprintf(msg.line, sizeof(msg.line), fmt, args);
	va_end(args);
	if (!__atomic_load_n(&writer.runs, __ATOMIC_ACQUIRE))
		write_first(level, msg.line);
	else if (!writer_send(&msg))
		__atomic_add_fetch(&writer.lost, 1, __ATOMIC_RELAXED);
	errno = saved_errno;
}
