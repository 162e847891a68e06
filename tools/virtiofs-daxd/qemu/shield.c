// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps QEMU alive when a page of the window cannot be had: its file was truncated
 * on the host, its file system is full, its disk fails. The guest sees zeros in
 * its place, until the daemon shows something there once more.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base.h"
#include "foreign.h"
#include "host/util.h"

/* _IO(0xae, 0x80): linux/kvm.h is not needed for more than this. */
#define SHIELD_KVM_RUN 0xae80

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/*
 * QEMU's own handling of SIGBUS; it sets it when only one thread is there, or for
 * itself alone. The one in use is not written to.
 */
static struct sigaction chained[2];
static unsigned int chained_now;

/*
 * The page that failed last in this thread, and its generation. A page is given
 * up when it fails twice in the same one: the second time it was touched after
 * the generation was read, so it is what is there now that fails.
 */
static __thread struct {
	const struct window *window;
	uint64_t offset;
	uint32_t generation;
} last __attribute__((tls_model("initial-exec")));

static bool mend(void *addr)
{
	struct window *window;
	uint32_t generation;
	uint64_t offset;

	window = base_find((uintptr_t)addr, 1, &offset);
	if (!window)
		return false;
	offset &= ~(WINDOW_PAGE - 1);
	generation = base_generation(window);
	if (last.window == window && last.offset == offset &&
	    last.generation == generation) {
		last.window = NULL;
		return base_zero(window, offset, WINDOW_PAGE, generation);
	}
	last.window = window;
	last.offset = offset;
	last.generation = generation;
	return true;
}

/* To a signal with its default action it is left to end the process. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	unsigned int now = __atomic_load_n(&chained_now, __ATOMIC_ACQUIRE);
	const struct sigaction *action = &chained[now];

	if (action->sa_flags & SA_SIGINFO) {
		action->sa_sigaction(sig, info, context);
	} else if (action->sa_handler == SIG_DFL) {
		NEXT(sigaction)(sig, action, NULL);
		raise(sig);
	} else if (action->sa_handler != SIG_IGN) {
		action->sa_handler(sig);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	bool missing = info->si_code == BUS_ADRERR ||
		       info->si_code == BUS_MCEERR_AR;
	int saved_errno = errno;

	if (!missing || !mend(info->si_addr))
		pass_on(sig, info, context);
	errno = saved_errno;
}

__attribute__((constructor)) static void shield_start(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO,
	};

	/* Whatever else comes waits: it might touch the window, too. */
	sigfillset(&action.sa_mask);
	NEXT(sigaction)(SIGBUS, &action, &chained[0]);
}

/* QEMU has a handler of its own for SIGBUS; it gets what is not the window's. */
EXPORT int sigaction(int sig, const struct sigaction *action,
		     struct sigaction *old)
{
	unsigned int now = chained_now;

	if (sig != SIGBUS)
		return NEXT(sigaction)(sig, action, old);
	if (old)
		*old = chained[now];
	if (action) {
		chained[!now] = *action;
		__atomic_store_n(&chained_now, !now, __ATOMIC_RELEASE);
	}
	return 0;
}

/* A thread that blocks SIGBUS dies of it; QEMU's block all they do not know. */
static const sigset_t *without_sigbus(int how, const sigset_t *set,
				      sigset_t *less)
{
	if (!set || how == SIG_UNBLOCK)
		return set;
	*less = *set;
	sigdelset(less, SIGBUS);
	return less;
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t less;

	return NEXT(pthread_sigmask)(how, without_sigbus(how, set, &less), old);
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t less;

	return NEXT(sigprocmask)(how, without_sigbus(how, set, &less), old);
}

/*
 * KVM does not say which page it could not have. What was truncated lacks the end of
 * a range, so of each range that page is tried first, and ranges are read as a whole
 * only if it is none of those: a disk has failed. Last comes what cannot be stored
 * to, where a store gets into a file; elsewhere to try it takes memory.
 */
static const struct kvm_pass {
	int advice;
	uint64_t from;
	uint8_t shown;
} kvm_passes[] = {
	{ MADV_POPULATE_READ, WINDOW_HUGE - WINDOW_PAGE, SHOWN_FILE },
	{ MADV_POPULATE_READ, 0, SHOWN_FILE },
	{ MADV_POPULATE_WRITE, 0, SHOWN_SHARED },
};

/* How far the search for a page has got. */
struct kvm_search {
	unsigned int pass;
	unsigned int window;
	uint64_t offset;
};

static bool can(int advice, char *addr, uint64_t len)
{
	return !madvise(addr, len, advice) || errno != EFAULT;
}

/* Returns whether something was given up, or has changed meanwhile. */
static bool mend_range(struct window *window, char *base, uint64_t start,
		       const struct kvm_pass *pass)
{
	uint8_t shown = __atomic_load_n(&window->shown[start / WINDOW_HUGE],
					__ATOMIC_RELAXED);
	uint64_t end = start + WINDOW_HUGE, to;
	bool any = false;

	if (!(shown & pass->shown) ||
	    can(pass->advice, base + start + pass->from,
		WINDOW_HUGE - pass->from))
		return false;
	for (; start < end; start = to + WINDOW_PAGE) {
		uint32_t generation = base_generation(window);

		for (to = start; to < end; to += WINDOW_PAGE)
			if (can(pass->advice, base + to, WINDOW_PAGE))
				break;
		if (to > start)
			any |= base_zero(window, start, to - start, generation);
	}
	return any;
}

/* Goes on where the last call has found something: it may not have been mended. */
static bool mend_next(struct kvm_search *at)
{
	for (; at->pass < ARRAY_SIZE(kvm_passes); at->pass++, at->window = 0)
		for (; at->window < WINDOW_MAX; at->window++, at->offset = 0) {
			struct window *window = &windows[at->window];
			char *base = __atomic_load_n(&window->base,
						     __ATOMIC_ACQUIRE);

			for (; base && at->offset < window->len;
			     at->offset += WINDOW_HUGE)
				if (mend_range(window, base, at->offset,
					       &kvm_passes[at->pass]))
					return true;
		}
	return false;
}

/* With KVM it is no signal that tells of such a page, but EFAULT. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_search search = { 0 };
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (foreign_pins(request, arg))
		return 0;
	do {
		ret = NEXT(ioctl)(fd, request, arg);
		if (ret >= 0 || request != SHIELD_KVM_RUN || errno != EFAULT)
			return ret;
	} while (mend_next(&search));
	errno = EFAULT;
	return ret;
}
