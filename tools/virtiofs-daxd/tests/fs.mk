# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the file operations and of the isolation: root and /dev/fuse, no VM.
FS_TESTS = fs_ops fs_raw fs_isolation fs_range
FS_OBJECTS = $(filter-out $(O)/main.o,$(OBJECTS))

.PHONY: check-fs
check: check-fs

# Each prints TAP; a failure is told once all have run.
check-fs: $(FS_TESTS:%=$(O)/tests/%)
	@ret=0; for t in $^; do echo "# $$t"; $$t || ret=1; done; exit $$ret

$(FS_TESTS:%=$(O)/tests/%): $(O)/tests/%: tests/%.c tests/fs_server.c \
		tests/fs_server.h tests/fs_tap.h $(FS_OBJECTS) | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c %.o,$^) $(LIBS)

$(O)/tests:
	mkdir -p $@
