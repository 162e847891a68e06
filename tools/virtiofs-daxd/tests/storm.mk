# SPDX-License-Identifier: GPL-2.0-or-later
# The storm of random requests: `make check` sends 400,000 to the daemon, also to
# one with ASan and UBSan. `make soak` sends a million to each, and to one
# that looks for data races, which runs tests of the daemon too.
STORM = storm.c frontend.c ../fuzz/encode.c ../fuzz/share.c
# Looking for leaks takes system calls which the daemon is not allowed; what ASan
# keeps of freed memory would hide whether the daemon grows.
STORM_RUN = ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=4 \
	TSAN_OPTIONS=suppressions=$(CURDIR)/tests/thread.supp
THREAD = -O1 -g -fsanitize=thread -Wno-tsan
THREAD_TESTS = $(CORE_PROCESS)

.PHONY: check-storm soak thread
check: check-storm

tests: $(O)/tests/storm
check-storm: $(O)/tests/storm $(O)/virtiofs-daxd core-sanitized
	@for d in $(O) $(O)/sanitize; do \
		echo "$(STORM_RUN) $(O)/tests/storm $$d/virtiofs-daxd"; \
	done | tests/each $(AT_ONCE)

soak: $(O)/tests/storm $(THREAD_TESTS:%=$(O)/tests/%) $(O)/virtiofs-daxd \
		core-sanitized thread
	@ret=0; for d in $(O) $(O)/sanitize $(O)/thread; do \
		echo "# storm $$d"; $(STORM_RUN) $(O)/tests/storm \
			$$d/virtiofs-daxd 1000000 $(STORM_SEED) || ret=1; \
	done; \
	for t in $(THREAD_TESTS); do \
		echo "# $$t $(O)/thread"; \
		$(STORM_RUN) $(O)/tests/$$t $(O)/thread/virtiofs-daxd || ret=1; \
	done; exit $$ret

thread:
	$(MAKE) --no-print-directory O=$(O)/thread CFLAGS='$(THREAD)' all

$(O)/tests/storm: $(STORM:%=tests/%) $(HEADERS) $(wildcard tests/*.h fuzz/*.h) | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c,$^) $(LIBS)
