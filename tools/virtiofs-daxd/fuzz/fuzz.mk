# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzers of what a guest or a front-end can say, with clang's libFuzzer, ASan and
# UBSan: of queues, of vhost-user messages, and of FUSE requests. Each is the
# daemon's own objects and files from here. `make fuzzers` builds them, and fuzz/run
# runs them; `make check-fuzz` lets it do so for 10 s each, from the seeds alone.
FUZZ_CC ?= clang
FUZZ_SANITIZE ?= -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
	-fsanitize=address,undefined
# The macros of libseccomp leave fields out, which clang takes amiss.
FUZZ_FLAGS = -std=gnu11 -Wall -Wextra -Wno-missing-field-initializers -Werror \
	-I. -D_GNU_SOURCE \
	-D_FILE_OFFSET_BITS=64 -DVERSION='"$(VERSION)"' \
	$(shell $(PKG_CONFIG) --cflags $(PACKAGES)) $(FUZZ_SANITIZE)
FUZZ_OBJECTS = $(filter-out %/main.o %/startup.o,$(SOURCES:%.c=$(O)/fuzz/%.o))
FUZZERS = $(addprefix $(O)/fuzz/fuzz-,virtq vhost requests)

.PHONY: fuzzers check-fuzz
fuzzers: $(FUZZERS)

check-fuzz: fuzzers
	@fuzz/run $(O)/fuzz 10

FUZZ_LINK = $(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^
$(O)/fuzz/fuzz-virtq $(O)/fuzz/fuzz-vhost: $(O)/fuzz/fuzz-%: \
		$(O)/fuzz/in-%.o $(FUZZ_OBJECTS)
	$(FUZZ_LINK) $(LIBS)

# The front-end and the private mount are the fuzzer's own.
FUZZ_WRAPPED = fuse_session_process_buf setxattr
$(O)/fuzz/fuzz-requests: \
		$(patsubst %,$(O)/fuzz/in-%.o,requests encode share window) \
		$(filter-out %/backing.o %/vhost_user.o %/vu_backend.o,$(FUZZ_OBJECTS))
	$(FUZZ_LINK) $(FUZZ_WRAPPED:%=-Wl,--wrap=%) $(LIBS)

FUZZ_COMPILE = $(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c \
	-o $@ $<
$(O)/fuzz/in-%.o: fuzz/%.c | $(O)/fuzz
	$(FUZZ_COMPILE)
$(O)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_COMPILE)

$(O)/fuzz:
	mkdir -p $@

-include $(wildcard $(O)/fuzz/*.d $(O)/fuzz/*/*.d)
