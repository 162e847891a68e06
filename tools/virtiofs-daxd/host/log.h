/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of the daemon: standard error, a file, or syslog.
 */
#ifndef VIRTIOFS_DAXD_LOG_H
#define VIRTIOFS_DAXD_LOG_H

#include <stdbool.h>

/**
 * enum log_level - what is worth a line, most important first
 * @LOG_LEVEL_OFF: nothing is
 * @LOG_LEVEL_ERROR: something does not work
 * @LOG_LEVEL_WARN: something is not as it should be
 * @LOG_LEVEL_INFO: beginning and end of service
 * @LOG_LEVEL_DEBUG: each message and each map
 * @LOG_LEVEL_TRACE: each request and its answer
 */
enum log_level {
	LOG_LEVEL_OFF = -1,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE,
};

/**
 * log_level_parse - the level of a name
 * @name: error, warn, info, debug, trace or off, in any case
 * @level: where it is stored
 *
 * Return: false if there is no such level.
 */
bool log_level_parse(const char *name, enum log_level *level);

/**
 * log_open - choose level and place; standard error at info before that
 * @level: lines less important than this are dropped
 * @file: append to this file, or NULL
 * @syslog: send to syslog instead
 *
 * To be called before there is a thread with descriptors of its own.
 *
 * Return: 0 or a negative errno for a file that cannot be opened.
 */
int log_open(enum log_level level, const char *file, bool syslog);

/**
 * log_start_writer - from now on nobody waits long for a line to be written
 *
 * A thread writes, which may do what the caller may.
 *
 * Return: 0 or a negative errno: lines are written at once, then.
 */
int log_start_writer(void);

/**
 * log_close - wait until all is written; by the last thread
 */
void log_close(void);

/**
 * log_line - write one line; errno is left alone
 * @level: its importance
 * @fmt: as for printf()
 */
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * log_enabled - whether lines of a level are written
 * @level: the level
 */
bool log_enabled(enum log_level level);

#define log_err(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)							\
	do {								\
		if (log_enabled(LOG_LEVEL_DEBUG))			\
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);		\
	} while (0)

#define log_trace(...)							\
	do {								\
		if (log_enabled(LOG_LEVEL_TRACE))			\
			log_line(LOG_LEVEL_TRACE, __VA_ARGS__);		\
	} while (0)

/* For what a guest can cause as often as it likes. */
#define log_warn_once(...)						\
	do {								\
		static bool said;					\
		if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED)) \
			log_warn(__VA_ARGS__);				\
	} while (0)

#endif
