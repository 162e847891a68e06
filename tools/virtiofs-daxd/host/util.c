// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int suffix_shift(const char *suffix)
{
	static const char suffixes[] = "KMGT";
	const char *hit;

	if (!*suffix)
		return 0;
	hit = strchr(suffixes, *suffix & ~0x20);
	if (!hit || suffix[1])
		return -1;
	return 10 * (hit - suffixes + 1);
}

bool parse_size(const char *text, uint64_t *value)
{
	unsigned long long number;
	char *end;
	int shift;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	shift = suffix_shift(end);
	if (errno || shift < 0 || number > UINT64_MAX >> shift)
		return false;
	*value = number << shift;
	return true;
}

bool parse_uint(const char *text, unsigned int max, unsigned int *value)
{
	unsigned long number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || *end || number > max)
		return false;
	*value = number;
	return true;
}

void close_fd(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

int write_full(int fd, const void *buf, size_t len)
{
	const char *pos = buf;

	while (len) {
		ssize_t n = write(fd, pos, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		pos += n;
		len -= n;
	}
	return 0;
}

size_t iov_size(const struct iovec *iov, unsigned int count)
{
	size_t size = 0;

	for (unsigned int i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

size_t iov_read(const struct iovec *iov, unsigned int count,
		void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < count && done < len; i++) {
		size_t n = min(iov[i].iov_len, len - done);

		memcpy((char *)buf + done, iov[i].iov_base, n);
		done += n;
	}
	return done;
}

size_t iov_write(const struct iovec *iov, unsigned int count, size_t offset,
		 const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < count && done < len; i++) {
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = min(iov[i].iov_len - offset, len - done);
		memcpy((char *)iov[i].iov_base + offset,
		       (const char *)buf + done, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t iov_slice(struct iovec **iov, unsigned int *count, size_t skip,
		 size_t len)
{
	struct iovec *vec = *iov;
	size_t kept = 0;
	unsigned int i;

	while (*count && skip >= vec->iov_len) {
		skip -= vec->iov_len;
		vec++;
		(*count)--;
	}
	if (*count) {
		vec->iov_base = (char *)vec->iov_base + skip;
		vec->iov_len -= skip;
	}
	for (i = 0; i < *count && kept < len; i++) {
		vec[i].iov_len = min(vec[i].iov_len, len - kept);
		kept += vec[i].iov_len;
	}
	*iov = vec;
	*count = i;
	return kept;
}

int64_t clock_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

int64_t clock_ms(void)
{
	return clock_us() / 1000;
}
