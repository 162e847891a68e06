# SPDX-License-Identifier: GPL-2.0-or-later
# Entry points only; the work is in scripts/ (each file says what it does).
.SILENT:
.PHONY: help setup tree sync deb kernel kernel-debug kernel-kcsan kernel-distro \
	kernel-intree kernel-intree-debug daemon run check fuzz soak bench bench-host \
	check-distro check-deb check-intree check-kvm lint series series-build clean
.DEFAULT_GOAL := help

help:
	sed -n 's/^## //p' Makefile

## make setup           host packages, chroot and base kernel (in the cache)
setup:
	scripts/setup
## make tree            build/linux: the base kernel plus one commit per patch
tree: setup
	scripts/tree
## make sync            changes made in build/linux back to the files here
sync:
	scripts/sync
## make kernel          our kernel, to run
kernel: tree
	scripts/kernel plain
## make kernel-debug    with KASAN, lockdep, kmemleak, fault injection ...
kernel-debug: tree
	scripts/kernel debug
## make kernel-kcsan    with the data race detector, for make soak
kernel-kcsan: tree
	scripts/kernel kcsan
## make kernel-distro   as distributions have it: modules, NUMA, swap, MGLRU, KSM ...
kernel-distro: tree
	scripts/kernel distro
## make kernel-intree   the unmodified base with the same config: the peer
kernel-intree: setup
	scripts/kernel intree
## make kernel-intree-debug  the same, debug config
kernel-intree-debug: setup
	scripts/kernel intree-debug
## make daemon          build/virtiofs-daxd/virtiofs-daxd, -fault for tests, and the
##                      library for QEMU
daemon: setup
	scripts/toolbox $(MAKE) -s -C tools/virtiofs-daxd O=$(CURDIR)/build/virtiofs-daxd
## make deb             build/deb: the Debian packages virtiofs-daxd (host) and
##                      virtiofs-dax-tools (guest), which lintian has nothing to say of
deb: setup
	scripts/deb
## make run             a shell in a VM with SHARE=dir at /mnt (WINDOW=64G MEM=1G
##                      SMP=2 DAX=always|inode|never); no terminal: a demonstration.
##                      ROOT=dir: boot the Debian in it instead, on kernel-distro;
##                      scripts/debian DIR makes one
run:
	scripts/run
## make check           all tests on both kernels; last line: the counts
check: setup
	scripts/check
## make fuzz            each fuzzer of the daemon for FUZZ_SECONDS (600), going on from
##                      what earlier runs have found (kept in the cache)
FUZZ_SECONDS ?= 600
fuzz: setup
	scripts/fuzz $(FUZZ_SECONDS)
## make soak            a million requests on the daemon, as many notifications for the
##                      guest, files that the host changes, with and without a guard,
##                      for SOAK_SHARED_SECS (as SOAK_SECONDS, 7000 at most), then the
##                      exerciser on plain, debug and KCSAN kernel for SOAK_SECONDS
##                      (600) in all, or until SOAK_OPS operations if that is longer
soak: kernel kernel-debug kernel-kcsan daemon
	scripts/soak
## make bench           our driver, the in-tree one, no DAX, and others, side by side:
##                      build/bench/report.md; 2.5 hours, 16 GiB of memory (QUICK=1:
##                      less of it, 15 minutes)
bench: tree
	bench/run
## make bench-host      what the window library is worth: the host of today beside that
##                      of 2026-11-28, in turn; build/bench-host (ROUNDS=7: an hour)
bench-host: kernel
	bench/host
## make check-distro    the selftests on kernel-distro, with two NUMA nodes, swap and KSM,
##                      a Debian 13 booted from a share, and programs of a Debian guest
##                      that watch and share files; last line: the counts
check-distro: setup
	scripts/check distro boot programs
## make check-deb       the packages installed in a Debian 13 that is started in a container,
##                      a share served there by the unit, and the packages removed
check-deb: setup
	scripts/check deb
## make check-intree    what the in-tree driver fails of our selftests
check-intree: kernel-intree
	scripts/check intree
## make check-kvm       for a machine with KVM: tests, short rows of the bench, and what
##                      KVM did for them, as build/check-kvm/report.txt, to send
check-kvm: setup
	scripts/check-kvm
## make lint            checkpatch, kernel-doc, sparse, W=1, shellcheck, invariants
lint: tree
	scripts/lint
## make series          build/series: cover letter and patches, to mail
series: tree
	scripts/series
## make series-build    show that each patch builds
series-build: tree
	scripts/series --build
## make clean           remove build/ (the cache stays)
clean:
	scripts/clean
