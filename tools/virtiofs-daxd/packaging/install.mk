# SPDX-License-Identifier: GPL-2.0-or-later
# make install DESTDIR= PREFIX=, and make uninstall with the same: what a host needs.
# make install-tools, uninstall-tools: daxstat, for guests. The unit's configuration is
# under /etc whatever PREFIX is, and stays when all else is removed.
DESTDIR ?=
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib/virtiofs-daxd
UNITDIR ?= $(PREFIX)/lib/systemd/system
DATADIR ?= $(PREFIX)/share
CONFDIR ?= /etc/virtiofs-daxd
INSTALL ?= install

INSTALLED = $(SBINDIR)/virtiofs-daxd $(LIBDIR)/libvirtiofs-dax-qemu.so \
	$(UNITDIR)/virtiofs-daxd@.service \
	$(DATADIR)/qemu/vhost-user/50-virtiofs-daxd.json \
	$(DATADIR)/bash-completion/completions/virtiofs-daxd \
	$(DATADIR)/man/man8/virtiofs-daxd.8 \
	$(DATADIR)/doc/virtiofs-daxd/examples/share.conf
INSTALLED_TOOLS = $(SBINDIR)/daxstat $(DATADIR)/man/man8/daxstat.8

# What names a path of another file that is installed.
PLACED = packaging/virtiofs-daxd@.service packaging/50-virtiofs-daxd.json \
	packaging/share.conf virtiofs-daxd.8
PLACE = sed -e 's,/usr/sbin/,$(SBINDIR)/,g' -e 's,/usr/lib/virtiofs-daxd/,$(LIBDIR)/,g' \
	-e 's,/usr/lib/virtiofs\\-daxd/,$(LIBDIR)/,g' -e 's,/usr/share/doc/,$(DATADIR)/doc/,g'

.PHONY: install uninstall install-tools uninstall-tools
install: $(O)/virtiofs-daxd $(O)/libvirtiofs-dax-qemu.so
	mkdir -p $(O)/placed $(DESTDIR)$(CONFDIR)
	for f in $(PLACED); do $(PLACE) "$$f" >"$(O)/placed/$${f##*/}" || exit 1; done
	$(INSTALL) -D -m 755 $(O)/virtiofs-daxd -t $(DESTDIR)$(SBINDIR)
	$(INSTALL) -D -m 644 $(O)/libvirtiofs-dax-qemu.so -t $(DESTDIR)$(LIBDIR)
	$(INSTALL) -D -m 644 $(O)/placed/virtiofs-daxd@.service -t $(DESTDIR)$(UNITDIR)
	$(INSTALL) -D -m 644 $(O)/placed/50-virtiofs-daxd.json \
		-t $(DESTDIR)$(DATADIR)/qemu/vhost-user
	$(INSTALL) -D -m 644 packaging/completion.bash \
		$(DESTDIR)$(DATADIR)/bash-completion/completions/virtiofs-daxd
	$(INSTALL) -D -m 644 $(O)/placed/virtiofs-daxd.8 -t $(DESTDIR)$(DATADIR)/man/man8
	$(INSTALL) -D -m 644 $(O)/placed/share.conf \
		-t $(DESTDIR)$(DATADIR)/doc/virtiofs-daxd/examples

uninstall:
	rm -f $(INSTALLED:%="$(DESTDIR)%")
	rmdir --ignore-fail-on-non-empty $(DESTDIR)$(LIBDIR) $(DESTDIR)$(CONFDIR) \
		$(DESTDIR)$(DATADIR)/doc/virtiofs-daxd/examples
	rmdir --ignore-fail-on-non-empty $(DESTDIR)$(DATADIR)/doc/virtiofs-daxd

install-tools:
	$(INSTALL) -D -m 755 daxstat/daxstat -t $(DESTDIR)$(SBINDIR)
	$(INSTALL) -D -m 644 daxstat/daxstat.8 -t $(DESTDIR)$(DATADIR)/man/man8

uninstall-tools:
	rm -f $(INSTALLED_TOOLS:%="$(DESTDIR)%")

.PHONY: check-install
check: check-install
check-install: $(O)/virtiofs-daxd $(O)/libvirtiofs-dax-qemu.so
	packaging/check $(O)
