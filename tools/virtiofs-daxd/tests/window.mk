# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the library in QEMU, with a stand-in for QEMU: the library is loaded
# into it as it is, and linked with it for each sanitizer.
WINDOW_QEMUS = $(O)/tests/window_qemu $(O)/tests/window_qemu_address \
	$(O)/tests/window_qemu_thread
WINDOW_TESTS = $(WINDOW_QEMUS) $(O)/tests/window_kvm.so \
	$(O)/tests/window_early.so \
	$(patsubst %,$(O)/tests/window_%,library daemon parts early)
WINDOW_ASAN = verify_asan_link_order=0:detect_leaks=0:handle_sigbus=0
WINDOW_TSAN = handle_sigbus=0:report_signal_unsafe=0

.PHONY: check-window
check: check-window

tests: $(WINDOW_TESTS)
check-window: $(WINDOW_TESTS) $(O)/libvirtiofs-dax-qemu.so $(O)/virtiofs-daxd core-sanitized
	@{ for q in $(WINDOW_QEMUS); do \
		lib=; [ $$q != $(O)/tests/window_qemu ] || \
			lib=$(O)/libvirtiofs-dax-qemu.so; \
		echo "ASAN_OPTIONS=$(WINDOW_ASAN) TSAN_OPTIONS=$(WINDOW_TSAN)" \
			"$(O)/tests/window_library $$q $(O)/tests/window_kvm.so '$$lib'"; \
	done; \
	for d in $(O) $(O)/sanitize; do for t in daemon parts; do \
		echo "ASAN_OPTIONS=detect_leaks=0" \
			"LD_PRELOAD=$(O)/libvirtiofs-dax-qemu.so" \
			"$(O)/tests/window_$$t $$d/virtiofs-daxd"; \
	done; done; \
	echo "tests/window_vmm.sh $(O)"; } | tests/each $(AT_ONCE)

$(O)/tests/window_early: tests/window_early.c | $(O)/tests
	$(CC) $(LDFLAGS) $(QEMU_CFLAGS) -o $@ $<

$(O)/tests/window_early.so: tests/window_early.c | $(O)/tests
	$(CC) $(LDFLAGS) $(QEMU_CFLAGS) -fPIC -shared -o $@ $<

$(O)/tests/window_daemon $(O)/tests/window_parts: $(O)/tests/window_%: \
		tests/window_%.c tests/frontend.c \
		$(wildcard tests/*.h) qemu/proto.h | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c,$^) $(LIBS)

$(O)/tests/window_library: tests/window_library.c tests/fs_tap.h vhost/fd_pass.c \
		host/util.c qemu/proto.h | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c,$^) $(LIBS)

$(O)/tests/window_kvm.so: tests/window_kvm.c qemu/proto.h | $(O)/tests
	$(CC) $(LDFLAGS) $(QEMU_CFLAGS) -fvisibility=default -fPIC -shared -o $@ $<

# That sanitizer calls the C library before it can be called itself.
$(O)/tests/window_qemu_thread: QEMU_CFLAGS += \
	-DEXPORT='__attribute__((no_sanitize("thread")))'

# What QEMU exports has to be found in it by name.
$(O)/tests/window_qemu: tests/window_qemu.c | $(O)/tests
	$(CC) $(LDFLAGS) $(QEMU_CFLAGS) -fvisibility=default -rdynamic -o $@ $< \
		-lpthread

$(O)/tests/window_qemu_%: tests/window_qemu.c $(QEMU_SOURCES) \
		$(wildcard qemu/*.h) | $(O)/tests
	$(CC) $(LDFLAGS) $(QEMU_CFLAGS) -U_FORTIFY_SOURCE -O1 -g -fsanitize=$* \
		-fno-sanitize-recover=all -fvisibility=default -rdynamic -o $@ \
		$(filter %.c,$^) -lpthread -ldl

# Not a test: see its head.
.PHONY: window-bench
window-bench: $(O)/tests/window_bench
$(O)/tests/window_bench: tests/window_bench.c $(filter-out $(O)/main.o,$(OBJECTS)) \
		| $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $^ $(LIBS)
