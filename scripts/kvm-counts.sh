# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What KVM does for the memory of VMs, from where it can be counted. Source it.
#
#	QEMU's trace	each change of a memory slot: event kvm_set_user_memory
#	tracefs		kvmmmu:kvm_mmu_zap_all_fast, with which all page tables of a VM
#			go; kvm:kvm_userspace_exit, for KVM_RUN that fails with EFAULT
#	debugfs		kvm/PID-FD/NAME, a counter of a VM, as long as it runs

KVM_EFAULT=14
KVM_COUNTERS="pf_fixed remote_tlb_flush"

# kvm_slots FILE...: slots made, deleted and changed, by the traces of a VM each. A
# size of 0 deletes a slot; what was not there is made.
kvm_slots() {
	awk 'FNR == 1 {split("", live)}
		match($0, /kvm_set_user_memory AddrSpace#[0-9]+ Slot#[0-9]+ /) && / ret=0$/ {
			slot = substr($0, RSTART, RLENGTH)
			if (!match($0, / size=0x[0-9a-f]+/)) next
			size = substr($0, RSTART + 8, RLENGTH - 8)
			if (size ~ /^0+$/) {deleted += slot in live; delete live[slot]}
			else {if (slot in live) changed++; else made++; live[slot] = 1}
		}
		END {print made + 0, deleted + 0, changed + 0}' "$@" /dev/null
}

# kvm_trace_start INSTANCE: let the events be counted there, a new directory in
# tracefs/instances. Fails without them: no KVM, or a kernel that has others.
kvm_trace_start() {
	local events=$1/events
	mkdir "$1" 2>/dev/null || [ -d "$1" ] || return 1
	[ -e "$events/kvmmmu/kvm_mmu_zap_all_fast/enable" ] &&
		[ -e "$events/kvm/kvm_userspace_exit/enable" ] || return 1
	echo "errno == -$KVM_EFAULT" >"$events/kvm/kvm_userspace_exit/filter" &&
		echo 1 >"$events/kvm/kvm_userspace_exit/enable" &&
		echo 1 >"$events/kvmmmu/kvm_mmu_zap_all_fast/enable"
}

# kvm_trace_counts INSTANCE: zaps, EFAULTs, and how many events the buffer has lost
kvm_trace_counts() {
	local lost
	lost=$(awk '$1 == "overrun:" || /^dropped events:/ {n += $NF} END {print n + 0}' \
		"$1"/per_cpu/cpu*/stats)
	awk -v efault="(${KVM_EFAULT})" -v lost="$lost" '/^#/ {next}
		/ kvm_mmu_zap_all_fast: / {zaps++}
		/ kvm_userspace_exit: reason error / && $NF == efault {faults++}
		END {print zaps + 0, faults + 0, lost}' "$1/trace"
}

# kvm_sample DIR: a line for each counter of each VM in debugfs/kvm
kvm_sample() {
	local vm name value
	for vm in "$1"/*-*/; do
		[ -d "$vm" ] || continue
		vm=${vm%/}
		for name in $KVM_COUNTERS; do
			# It may end meanwhile.
			read -r value 2>/dev/null <"$vm/$name" || continue
			echo "${vm##*/} $name $value"
		done
	done
}

# kvm_sum NAME FILE: of samples, the last of each VM, all VMs together; or none
kvm_sum() {
	awk -v name="$1" '$2 == name && $3 ~ /^[0-9]+$/ {last[$1] = $3; seen = 1}
		END {for (vm in last) sum += last[vm]; print seen ? sum + 0 : "none"}' "$2"
}

# kvm_vms DIR: how many VMs there are in debugfs/kvm
kvm_vms() {
	local n=0 vm
	for vm in "$1"/*-*/; do [ ! -d "$vm" ] || n=$((n + 1)); done
	echo $n
}
