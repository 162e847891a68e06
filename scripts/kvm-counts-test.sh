# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154
# Tests of kvm-counts.sh and of what check-kvm refuses, for self-test, which sources
# it. No KVM was there to record samples: they are written after QEMU's
# accel/kvm/trace-events, the kernel's include/trace/events/kvm.h and
# arch/x86/kvm/mmu/mmutrace.h, Documentation/trace/ftrace.rst and
# Documentation/virt/kvm/api.rst.
. "$(dirname "${BASH_SOURCE[0]}")/kvm-counts.sh"

# says WANT NAME COMMAND...: prints just that
says() {
	local want=$1 name=$2
	shift 2
	run "$@"
	[ "$said" = "$want" ] || status=1
	result "$status" "$name"
}

# RAM, then a slot of the window made, deleted, made anew in its place, changed (dirty
# logging), and one that KVM refused. Another thing that QEMU traces is no slot.
sample_slots() {
	cat <<-'TRACE'
		kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x0 gpa=0x0 size=0x40000000 ua=0x7f0000000000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0
		kvm_set_user_memory AddrSpace#0 Slot#3 flags=0x0 gpa=0x800000000 size=0x200000 ua=0x7f4000000000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0
		kvm_run_exit cpu_index 0, reason 2
		kvm_set_user_memory AddrSpace#0 Slot#3 flags=0x0 gpa=0x800000000 size=0x0 ua=0x7f4000000000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0
		kvm_set_user_memory AddrSpace#0 Slot#3 flags=0x0 gpa=0x800200000 size=0x100000 ua=0x7f4000200000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0
		kvm_set_user_memory AddrSpace#0 Slot#3 flags=0x1 gpa=0x800200000 size=0x100000 ua=0x7f4000200000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0
		kvm_set_user_memory AddrSpace#1 Slot#3 flags=0x0 gpa=0x800200000 size=0x100000 ua=0x7f4000200000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0
		kvm_set_user_memory AddrSpace#0 Slot#9 flags=0x0 gpa=0x900000000 size=0x100000 ua=0x7f4000400000 guest_memfd=-1 guest_memfd_offset=0x0 ret=-28
	TRACE
}

# sample_tracefs DIR: an instance
sample_tracefs() {
	local cpu
	mkdir -p "$1/events/kvm/kvm_userspace_exit" "$1/events/kvmmmu/kvm_mmu_zap_all_fast"
	: >"$1/events/kvm/kvm_userspace_exit/enable"
	: >"$1/events/kvmmmu/kvm_mmu_zap_all_fast/enable"
	cat >"$1/trace" <<-'TRACE'
		# tracer: nop
		#
		# entries-in-buffer/entries-written: 5/8   #P:2
		#
		#                                _-----=> irqs-off/BH-disabled
		#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
		#              | |         |   |||||     |         |
		 qemu-system-x86-4711    [000] ..... 10012.100001: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 1 used_pages 2f
		       CPU 1/KVM-4718    [001] ..... 10012.200002: kvm_userspace_exit: reason error (14)
		       CPU 1/KVM-4718    [001] ..... 10012.200003: kvm_userspace_exit: reason error (4)
		       CPU 0/KVM-4717    [000] ..... 10012.200004: kvm_userspace_exit: reason KVM_EXIT_IO (2)
		 qemu-system-x86-4711    [000] ..... 10012.300005: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 0 used_pages 31
	TRACE
	for cpu in 0 1; do
		mkdir -p "$1/per_cpu/cpu$cpu"
		printf '%s\n' 'entries: 3' "overrun: $((cpu * 3))" 'commit overrun: 7' 'bytes: 184' \
			'oldest event ts: 10012.100001' 'now ts: 10020.000000' 'dropped events: 0' \
			'read events: 0' >"$1/per_cpu/cpu$cpu/stats"
	done
}

# sample_debugfs DIR: two VMs, and the counters of all of them
sample_debugfs() {
	mkdir -p "$1/4711-12/vcpu0" "$1/4800-9"
	echo 1500 >"$1/4711-12/pf_fixed"
	echo 20 >"$1/4711-12/remote_tlb_flush"
	echo 7 >"$1/4800-9/pf_fixed"
	echo 1507 >"$1/pf_fixed"
}

# Of a VM that has gone the last counters stay; what is not a number is no counter.
sample_samples() {
	printf '%s\n' '4711-12 pf_fixed 100' '4800-9 pf_fixed 7' '4711-12 pf_fixed 1500' \
		'4711-12 remote_tlb_flush 20' '4800-9 pf_fixed' '4800-9 remote_tlb_flush x'
}

test_kvm_accel() {
	echo 'flags : fpu vme de pse lm' >"$tmp/cpuinfo"
	refuses 1 'no processor here has vmx or svm' env -u ACCEL CPUINFO="$tmp/cpuinfo" \
		"$TOP/scripts/check-kvm"
	refuses 1 'must be kvm or tcg' env ACCEL=xen "$TOP/scripts/check-kvm"
	refuses 126 'must be kvm or tcg' env ACCEL=xen "$TOP/scripts/vm" --check
	run env ACCEL=tcg "$TOP/scripts/vm" --check
	result "$status" "accepted: ACCEL=tcg scripts/vm --check"
}

# In the place of scripts/vm: a VM in which one test passes and one fails
fake_vm() {
	cat <<-'FAKE'
		#!/bin/bash
		TOP=$(cd "$(dirname "$0")/.." && pwd -P)
		log=$(mktemp -d "$TOP/build/vm/XXXX")
		: >"$log/console.log"
		printf '%s\n' 'regions_made 3' 'regions_removed 2' 'dax_lost 1' >"$log/stats"
		printf '%s\n' 1..2 'ok 1 - one' "not ok 2 - $* on $(uname -n) in $TOP/build"
	FAKE
}

make_kvm_clone() {
	local groups=build/linux/tools/testing/selftests/fuse_dax
	mkdir -p "$clone/$groups" "$clone/build/vm" "$clone/bin"
	cp -r "$TOP/scripts" "$clone"
	printf '%s\n' 'a|16M||dax=always|9|x' 'b|16M||dax=always|9|y' \
		'c|16M||dax=always|9|z||||--stock' >"$clone/$groups/vm-groups"
	fake_vm >"$clone/scripts/vm"
	printf '#!/bin/sh\n' | tee "$clone/bin/make" "$clone/scripts/kernel" >/dev/null
	printf '#!/bin/sh\ncase $1 in qemu*) echo QEMU 99;; esac\n' >"$clone/scripts/toolbox"
	chmod +x "$clone/bin/make"
	git init -q "$clone"
}

# reported PATTERN NAME: in the report
reported() {
	local found=0
	grep -qE -- "$1" "$clone/build/check-kvm/report.txt" || found=1
	said=$(cat "$clone/build/check-kvm/report.txt")
	result $found "$2"
}

test_kvm_report() {
	local clone=$tmp/kvm-clone
	make_kvm_clone
	run env ACCEL=tcg BENCH=0 PATH="$clone/bin:$PATH" "$clone/scripts/check-kvm"
	result "$status" "check-kvm runs to its end with ACCEL=tcg"
	reported 'ACCEL=tcg: THIS IS NOT KVM' "and the report says that this is not KVM"
	reported '^VMs +2 +2$' "those groups that are for stock maps alone are not run twice"
	reported '^tests passed +2 +2$' "tests are counted"
	reported '^memory slots made +none +none$' "without KVM there are no slots, not 0"
	reported '^zaps of all page tables .* none +none$' "what was not counted is none"
	reported '^regions that it was asked to remove +4 +4$' "the daemons' counters are those of all VMs"
	reported 'not ok 2 .*--stock.* on HOST in DIR/build' "names of hosts and paths are left out"
	run grep -nwF -e "$clone" -e "$(uname -n)" "$clone/build/check-kvm/report.txt"
	result $((status != 1)) "all of them"
}

test_kvm() {
	local k=$tmp/kvm
	mkdir "$k"
	sample_slots >"$k/trace.log"
	sample_tracefs "$k/instance"
	sample_debugfs "$k/debugfs"
	sample_samples >"$k/samples"
	says '4 1 1' "slots made, deleted, changed; not those that were refused" \
		kvm_slots "$k/trace.log"
	says '8 2 2' "the slots of each VM are its own" kvm_slots "$k/trace.log" "$k/trace.log"
	says '0 0 0' "no trace, no slots" kvm_slots
	says '2 1 3' "zaps, EFAULTs, and what the trace has lost" kvm_trace_counts "$k/instance"
	run kvm_trace_start "$k/instance"
	said=$(cat "$k/instance/events/kvm/kvm_userspace_exit/"{filter,enable})
	[ "$said" = $'errno == -14\n1' ] || status=1
	result "$status" "the trace is asked for EFAULTs only"
	run kvm_trace_start "$k/nothing"
	result $((status != 1)) "a kernel without these events is not counted on"
	says $'4711-12 pf_fixed 1500\n4711-12 remote_tlb_flush 20\n4800-9 pf_fixed 7' \
		"the counters of each VM" kvm_sample "$k/debugfs"
	says 2 "VMs are counted" kvm_vms "$k/debugfs"
	says 0 "and none where there is no KVM" kvm_vms "$k/nowhere"
	says 1507 "the last counter of each VM, together" kvm_sum pf_fixed "$k/samples"
	says 20 "what is no number does not count" kvm_sum remote_tlb_flush "$k/samples"
	says none "what has no counter is none, not 0" kvm_sum pages_2m "$k/samples"
	test_kvm_accel
	test_kvm_report
}
