# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of rings, of the window's table, and of the whole daemon by a front-end
# of their own; no VM. All run with sanitizers, and the daemon also without.
SANITIZE = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
CORE_SANITIZED = $(MAKE) --no-print-directory O=$(O)/sanitize \
	CFLAGS='$(SANITIZE)'
CORE_VIRTQ = core_virtq.c $(addprefix ../vhost/,virtq.c queue.c guest_mem.c) \
	../host/sigbus.c
CORE_DAX_MAP = core_dax_map.c ../vhost/map_slots.c $(addprefix ../dax/, \
	dax_map.c dax_upgrade.c dax_show.c dax_report.c dax_region.c dax_files.c \
	dax_file.c)
CORE_MAP_SLOTS = core_map_slots.c ../vhost/map_slots.c
CORE_COHERENT = core_coherent core_coherent_told core_coherent_order \
	core_coherent_limits
# Tests of the daemon as a whole, by a front-end.
CORE_PROCESS = core_daemon core_sandbox core_control core_messages core_stall \
	core_memory core_backing core_files core_retry core_pool core_locks \
	core_watch $(CORE_COHERENT) core_guard core_guard_calls core_full \
	core_options core_negotiate core_fhandles core_submounts core_idmap \
	core_ids core_xattrmap core_users core_labels
CORE_HEADERS = $(HEADERS) $(wildcard tests/*.h)

.PHONY: check-core core-tests core-sanitized
check: check-core

# Each prints TAP; a failure is told once all have run. Looking for leaks takes
# system calls which the daemon is not allowed.
tests: core-tests core-sanitized
check-core: core-tests core-sanitized $(O)/virtiofs-daxd
	@{ \
	for t in core_virtq core_dax_map core_map_slots; do \
		echo "$(O)/sanitize/tests/$$t"; \
	done; \
	for t in $(CORE_PROCESS); do for d in $(O) $(O)/sanitize; do \
		echo "ASAN_OPTIONS=detect_leaks=0" \
			"$(O)/tests/$$t $$d/virtiofs-daxd"; \
	done; done; } | tests/each $(AT_ONCE)

core-tests: $(CORE_PROCESS:%=$(O)/tests/%)
core-sanitized:
	$(CORE_SANITIZED) all $(O)/sanitize/tests/core_virtq \
		$(O)/sanitize/tests/core_dax_map \
		$(O)/sanitize/tests/core_map_slots

$(O)/tests/core_virtq: $(CORE_VIRTQ:%=tests/%)
$(O)/tests/core_dax_map: $(CORE_DAX_MAP:%=tests/%)
$(O)/tests/core_dax_map: LDFLAGS += -Wl,--wrap=malloc
$(O)/tests/core_map_slots: $(CORE_MAP_SLOTS:%=tests/%)
$(CORE_PROCESS:%=$(O)/tests/%): $(O)/tests/%: tests/%.c tests/frontend.c \
	tests/slots.c
$(CORE_COHERENT:%=$(O)/tests/%): tests/coherent_guest.c
$(O)/tests/core_%: $(CORE_HEADERS) host/util.c host/log.c | $(O)/tests
	$(CC) $(LDFLAGS) $(CFLAGS_ALL) -o $@ $(filter %.c,$^) $(LIBS)
