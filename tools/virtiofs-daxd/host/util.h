/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small helpers which have no better home.
 */
#ifndef VIRTIOFS_DAXD_UTIL_H
#define VIRTIOFS_DAXD_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)					\
	((type *)((char *)(ptr) - offsetof(type, member)))

#define min(a, b)							\
	({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })

/**
 * parse_size - read a number with an optional suffix K, M, G or T
 * @text: the text
 * @value: where the number is stored
 *
 * Return: false if the text is not such a number or does not fit.
 */
bool parse_size(const char *text, uint64_t *value);

/**
 * parse_uint - read a plain decimal number of at most @max
 * @text: the text
 * @max: the largest that will do
 * @value: where the number is stored
 */
bool parse_uint(const char *text, unsigned int max, unsigned int *value);

/**
 * clock_us - microseconds of a clock that only goes on
 */
int64_t clock_us(void);

/**
 * clock_ms - milliseconds of a clock that only goes on
 */
int64_t clock_ms(void);

/**
 * interrupted - whether to try once more what failed with @error on a file
 * @error: positive errno
 * @tries: how often that was done
 *
 * A signal is over at once. But a file system may say EINTR for ever.
 */
static inline bool interrupted(int error, unsigned int *tries)
{
	return error == EINTR && (*tries)++ < 16;
}

static inline bool is_power_of_2(uint64_t n)
{
	return n && !(n & (n - 1));
}

/**
 * range_end - the end of a range which must not wrap
 * @start: where it begins
 * @len: how long it is
 * @end: where start + len is stored
 *
 * Return: false if the sum does not fit.
 */
static inline bool range_end(uint64_t start, uint64_t len, uint64_t *end)
{
	return !__builtin_add_overflow(start, len, end);
}

/**
 * close_fd - close a descriptor, if it is one, and forget it; keeps errno
 * @fd: the descriptor; -1 afterwards
 */
void close_fd(int *fd);

/**
 * write_full - write all of a buffer to a file
 * @fd: the file
 * @buf: the data
 * @len: bytes
 *
 * Return: 0 or a negative errno.
 */
int write_full(int fd, const void *buf, size_t len);

/**
 * iov_size - bytes in a vector
 * @iov: the vector
 * @count: its pieces
 */
size_t iov_size(const struct iovec *iov, unsigned int count);

/**
 * iov_read - copy from the start of a vector
 * @iov: the vector
 * @count: its pieces
 * @buf: where they go
 * @len: bytes wanted
 *
 * Return: bytes copied, less than @len if the vector is shorter.
 */
size_t iov_read(const struct iovec *iov, unsigned int count,
		void *buf, size_t len);

/**
 * iov_write - copy to a vector, @offset bytes into it
 * @iov: the vector
 * @count: its pieces
 * @offset: where in the vector
 * @buf: the data
 * @len: its bytes
 *
 * Return: bytes copied, less than @len if the vector ends before.
 */
size_t iov_write(const struct iovec *iov, unsigned int count, size_t offset,
		 const void *buf, size_t len);

/**
 * iov_slice - drop bytes at the front and at the end of a vector, in place
 * @iov: moved to the first entry that is left
 * @count: entries that are left
 * @skip: bytes to drop at the front
 * @len: bytes to keep after that
 *
 * Return: bytes kept, less than @len if the vector ends before.
 */
size_t iov_slice(struct iovec **iov, unsigned int *count, size_t skip,
		 size_t len);

#endif
