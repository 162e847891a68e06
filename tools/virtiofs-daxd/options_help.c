// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdarg.h>
#include <stdio.h>

#include "options_i.h"

static const char usage[] =
"Usage: virtiofs-daxd --shared-dir DIR --socket-path PATH [OPTION]...\n"
"Share a directory with a virtual machine over virtio-fs, with a DAX window.\n"
"\n"
"      --shared-dir DIR         the directory\n"
"      --socket-path PATH       the socket to which the VMM connects\n"
"      --socket-group GROUP     whose members may connect to it, too\n"
"      --fd FD                  an inherited socket that listens, in place of a path\n"
"      --tag TAG                name by which the guest mounts it (myfs)\n"
"      --cache MODE             auto, coherent, always, metadata or never (coherent\n"
"                               with --notifications, else auto)\n"
"      --allow-mmap             shared mappings also with --cache metadata or never\n"
"      --allow-direct-io        O_DIRECT in the guest is O_DIRECT here\n"
"      --preserve-noatime       O_NOATIME in the guest is O_NOATIME here\n"
"      --writeback              the guest collects what it writes\n"
"      --no-readdirplus         names of a directory come without attributes\n"
"      --killpriv-v2            set-user-ID bits go here, not in the guest\n"
"      --no-killpriv-v2         the guest sees to that (default)\n"
"      --inode-file-handles=WHEN\n"
"                               never, prefer or mandatory: hold files that the\n"
"                               guest knows by file handles, not descriptors (never)\n"
"      --announce-submounts     the guest knows what is mounted here, which has device\n"
"                               numbers of its own there (so by default)\n"
"      --no-announce-submounts  it does not: one device, numbers come twice\n"
"      --translate-uid TYPE:FROM:TO:COUNT\n"
"      --translate-gid TYPE:FROM:TO:COUNT\n"
"                               users and groups of the guest are others here; TYPE is\n"
"                               guest, host, map, squash-guest, squash-host, or\n"
"                               forbid-guest, without TO; can be given several times\n"
"      --uid-map :INSIDE:OUTSIDE:COUNT:\n"
"      --gid-map :INSIDE:OUTSIDE:COUNT:\n"
"                               not as root: users and groups of the user namespace\n"
"                               that the daemon is in; can be given several times\n"
"      --dax-window SIZE        size of the window: a power of two, 16M or more; auto:\n"
"                               64G, for a guest with the driver of this project\n"
"      --dax-attr WHICH         files with DAX in a guest that asks per file:\n"
"                               none, all, or those of SIZE and more (all)\n"
"      --dax-budget N           most parts of files in the window at once (256;\n"
"                               30000 with the library)\n"
"      --window-socket PATH     the socket to which the library in the VMM connects\n"
"      --notifications          tell the guest what changes here: needs one more\n"
"                               virtqueue, and config_size=44, on QEMU's command line\n"
"      --guard WHAT             none, or truncate: what takes something away from a\n"
"                               mapped file waits until the guest has let go (none)\n"
"      --guard-timeout MS       but no longer than this (1000)\n"
"      --num-queues N           request queues (1)\n"
"      --thread-pool-size N     threads that serve requests (4); 0: one\n"
"      --sandbox MODE           none, namespace or chroot (namespace)\n"
"      --seccomp ACTION         at other system calls: none, kill, log or trap (kill)\n"
"      --modcaps CAPS           capabilities kept or not, as in +sys_admin:-chown\n"
"      --rlimit-nofile N        most descriptors (1000000); 0: as it is\n"
"      --readonly               refuse all changes\n"
"      --dax-readonly-window    allow --dax-window with --readonly; the guest can\n"
"                               then change the contents of files\n"
"      --no-remote-locks        file locks are the guest's own, not seen here\n"
"      --xattr                  extended attributes\n"
"      --xattrmap RULES         extended attributes have other names here, as with\n"
"                               :map::user.virtiofs.: (see the manual); implies --xattr\n"
"      --security-label         files have the guest's SELinux label from the first;\n"
"                               implies --xattr\n"
"      --posix-acl              POSIX ACLs; implies --xattr\n"
"      --log-level LEVEL        error, warn, info, debug, trace or off (info)\n"
"      --log-file FILE          append messages to a file\n"
"      --syslog                 send messages to syslog\n"
"      --stats-file FILE        write counters there on SIGUSR1 and at the end\n"
"      --print-capabilities     print what vhost-user.json is about\n"
"  -V, --version                print the version\n"
"  -h, --help                   print this\n"
"  -o WORD[=VALUE],...          as virtiofsd has it; after all other options\n"
"  -d                           --log-level debug\n"
"  -f                           nothing: it is in the foreground\n"
"\n"
"SIZE is in bytes, or with a suffix K, M, G or T.\n"
"Ends with 0 on SIGTERM and when the VMM disconnects, with 1 on failure, with 2\n"
"on a wrong command line.\n";

void options_help(void)
{
	fputs(usage, stdout);
}

int option_wrong(const char *fmt, ...)
{
	va_list args;

	fputs("virtiofs-daxd: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nTry 'virtiofs-daxd --help'.\n", stderr);
	return EXIT_USAGE;
}
