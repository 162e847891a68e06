# SPDX-License-Identifier: GPL-2.0-or-later
# virtiofs-daxd-fault, for tests only: virtiofs-daxd, its objects unchanged, in
# which a guest can make requests go wrong. fault.h says how that comes about.
FAULT_WRAPPED = transport_serve queue_give pt_new
FAULT_OBJECTS = $(patsubst %.c,$(O)/%.o,$(wildcard fault/*.c))

all: $(O)/virtiofs-daxd-fault

$(O)/virtiofs-daxd-fault: $(OBJECTS) $(FAULT_OBJECTS)
	$(CC) $(LDFLAGS) $(FAULT_WRAPPED:%=-Wl,--wrap=%) $(CFLAGS_ALL) -o $@ $^ $(LIBS)

-include $(FAULT_OBJECTS:.o=.d)

# All print TAP; a failure is told once all have run.
FAULT_PROCESS = fault_daemon fault_notify
FAULT_TESTS = $(O)/tests/fault_rule $(FAULT_PROCESS:%=$(O)/tests/%)
.PHONY: check-fault fault-sanitized
check: check-fault

tests: $(FAULT_TESTS) fault-sanitized
check-fault: $(FAULT_TESTS) $(O)/virtiofs-daxd-fault fault-sanitized
	@for d in $(O) $(O)/sanitize; do \
		echo "$$d/tests/fault_rule"; \
		for t in $(FAULT_PROCESS); do \
			echo "ASAN_OPTIONS=detect_leaks=0" \
				"$(O)/tests/$$t $$d/virtiofs-daxd-fault"; \
		done; \
	done | tests/each $(AT_ONCE)

fault-sanitized: core-sanitized
	$(CORE_SANITIZED) $(O)/sanitize/tests/fault_rule

$(O)/tests/fault_rule: tests/fault_rule.c tests/fs_tap.h $(O)/fault/rule.o \
		$(filter-out $(O)/main.o,$(OBJECTS)) | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c %.o,$^) $(LIBS)

$(FAULT_PROCESS:%=$(O)/tests/%): $(O)/tests/%: tests/%.c tests/frontend.c \
		$(HEADERS) $(wildcard fault/*.h tests/*.h) host/util.c host/log.c | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c,$^) $(LIBS)
