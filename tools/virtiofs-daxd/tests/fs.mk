# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the file operations and of the isolation: root and /dev/fuse, no VM.
FS_TESTS = fs_ops fs_raw fs_isolation fs_range
FS_OBJECTS = $(filter-out $(O)/main.o,$(OBJECTS))

.PHONY: check-fs fs-sanitized
check: check-fs

# Each prints TAP; a failure is told once all have run. All run with sanitizers
# too, also that which looks for leaks. Those of the operations run once more with
# nodes that are file handles.
tests: $(FS_TESTS:%=$(O)/tests/%) fs-sanitized
check-fs: $(FS_TESTS:%=$(O)/tests/%) fs-sanitized
	@for d in $(O) $(O)/sanitize; do for t in $(FS_TESTS); do \
		echo "$$d/tests/$$t"; \
	done; for t in fs_ops fs_raw; do \
		echo "FS_FILE_HANDLES=1 $$d/tests/$$t"; \
	done; done | tests/each $(AT_ONCE)

fs-sanitized: core-sanitized
	$(CORE_SANITIZED) $(FS_TESTS:%=$(O)/sanitize/tests/%)

$(FS_TESTS:%=$(O)/tests/%): $(O)/tests/%: tests/%.c tests/fs_server.c \
		tests/fs_server.h tests/fs_tap.h $(FS_OBJECTS) | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c %.o,$^) $(LIBS)

$(O)/tests:
	mkdir -p $@
