# SPDX-License-Identifier: GPL-2.0-or-later
# The library that is loaded into QEMU. It needs libc alone, and off_t as QEMU's
# calls of mmap() have it.
QEMU_SOURCES = $(wildcard qemu/*.c) vhost/fd_pass.c host/util.c
QEMU_CFLAGS = $(filter-out -D_FILE_OFFSET_BITS=% -DVERSION=%,$(CFLAGS_ALL)) \
	-fvisibility=hidden

all: $(O)/libvirtiofs-dax-qemu.so

$(O)/libvirtiofs-dax-qemu.so: $(QEMU_SOURCES) $(wildcard qemu/*.h) | $(O)
	$(CC) $(LDFLAGS) $(QEMU_CFLAGS) -fPIC -shared -Wl,-z,defs \
		-o $@ $(filter %.c,$^) -lpthread -ldl
