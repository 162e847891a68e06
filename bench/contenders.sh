# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
# The contenders of make bench, one function each. It sets
#   vm		arguments of scripts/vm, but for those that are the same for all
#   mount	the guest's command that mounts the data at /mnt
#   prepare	what the guest does once, before anything else
# The kernel is built with the same config, the host's files are on the same
# tmpfs, and the daemons run with their own defaults, but with --cache=auto, which all
# have.

ALL_CONTENDERS="ours coherent intree stock nodax virtiofsd pmem 9p tmpfs"
# Only when they are asked for.
MORE_CONTENDERS="intree-stock"

# has_window NAME: a contender with a DAX window, run for each window
has_window() { case $1 in ours | coherent | intree | *stock) ;; *) return 1 ;; esac; }

# is_stock NAME: one whose QEMU has not the window library, run for some windows
is_stock() { case $1 in *stock) ;; *) return 1 ;; esac; }

# is_limited NAME: one with a page cache, run again with as much as the window
is_limited() { case $1 in nodax | virtiofsd) ;; *) return 1 ;; esac; }

# is_walker NAME: one that walks over the tree of small files, as it is on the host
is_walker() { case $1 in ours | coherent | intree | nodax | virtiofsd) ;; *) return 1 ;; esac; }

# is_reference NAME: one that no bar is about, and which takes long
is_reference() { case $1 in virtiofsd | 9p) ;; *) return 1 ;; esac; }

# runs NAME PREFIX: whether rows with this prefix make sense for a contender
runs() {
	case $1/$2 in
	tmpfs/memory* | tmpfs/map*) return 1 ;;
	# Each write is a request, and those cannot be counted in instructions.
	nodax/insn-write*) return 1 ;;
	esac
}

# Our driver and daemon, which believes for a second, as all others do.
contender_ours() {
	vm=(--kernel "$KERNEL" --share "$share" --daemon-args "--cache auto")
	mount="mount -t virtiofs -o dax share /mnt"
}

# As they are by default: the guest keeps all that the daemon does not correct. It walks
# only.
contender_coherent() {
	contender_ours
	vm+=(--daemon-args "--cache coherent")
}

# The driver of Linux 7.3 with our daemon.
contender_intree() {
	vm=(--kernel intree-bench --share "$share")
	mount="mount -t virtiofs -o dax share /mnt"
}

# Our driver and daemon, without the library in QEMU.
contender_stock() {
	contender_ours
	vm+=(--stock)
}

# The in-tree driver needs a mapping for each 2 MiB, so it gets as many as there can be.
contender_intree-stock() {
	contender_intree
	vm+=(--stock --daemon-args "--dax-budget $STOCK_BUDGET")
}

# No DAX on our daemon, cache=auto as it is for all.
contender_nodax() {
	vm=(--kernel "$KERNEL" --share "$share" --window 0 --daemon-args "--cache auto")
	mount="mount -t virtiofs -o dax=never share /mnt"
}

# No DAX on Debian's daemon.
contender_virtiofsd() {
	vm=(--kernel "$KERNEL" --share "$share" --device virtiofsd --window 0
		--daemon-args "--cache auto")
	mount="mount -t virtiofs share /mnt"
}

# A disk image in memory that the guest maps: nothing is shared in it.
contender_pmem() {
	vm=(--kernel "$KERNEL" --share "$out/pmem/image" --device pmem --window 0)
	mount="mount -t ext4 -o dax /dev/pmem0 /mnt"
	# It has pages made for all of it first.
	prepare='for i in $(seq 100); do [ -b /dev/pmem0 ] || sleep 0.2; done'
}

contender_9p() {
	vm=(--kernel "$KERNEL" --share "$share" --device 9p --window 0)
	mount="mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=524288 share /mnt"
}

# Guest memory, filled from the share (but for the 4 GiB): the limit of memcpy.
contender_tmpfs() {
	vm=(--kernel "$KERNEL" --share "$share" --window 0)
	mount=:
	prepare='mkdir /src && mount -t virtiofs share /src &&
		mount -t tmpfs -o size=90% tmpfs /mnt && cd /src &&
		cp -a big two-a two-b order.* small small.tar programs hot /mnt && cd / &&
		umount /src'
}
