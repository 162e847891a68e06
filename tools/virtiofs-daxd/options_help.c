// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "options_i.h"

static const char usage[] =
"Usage: virtiofs-daxd --shared-dir DIR --socket-path PATH [OPTION]...\n"
"Share a directory with a virtual machine over virtio-fs, with a DAX window.\n"
"\n"
"      --shared-dir DIR         the directory\n"
"      --socket-path PATH       the socket to which the VMM connects\n"
"      --tag TAG                name by which the guest mounts it (myfs)\n"
"      --cache MODE             auto, always or never (auto)\n"
"      --dax-window SIZE        size of the window: a power of two, 16M or more\n"
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
"      --thread-pool-size N     threads that serve requests (4)\n"
"      --sandbox MODE           none, namespace or chroot (namespace)\n"
"      --readonly               refuse all changes\n"
"      --dax-readonly-window    allow --dax-window with --readonly; the guest can\n"
"                               then change the contents of files\n"
"      --no-remote-locks        file locks are the guest's own, not seen here\n"
"      --xattr                  extended attributes\n"
"      --posix-acl              POSIX ACLs; implies --xattr\n"
"      --log-level LEVEL        error, warn, info or debug (info)\n"
"      --log-file FILE          append messages to a file\n"
"      --syslog                 send messages to syslog\n"
"      --stats-file FILE        write counters there on SIGUSR1 and at the end\n"
"      --version                print the version\n"
"      --help                   print this\n"
"\n"
"SIZE is in bytes, or with a suffix K, M, G or T.\n"
"Ends with 0 on SIGTERM and when the VMM disconnects, with 1 on failure, with 2\n"
"on a wrong command line.\n";

void options_help(void)
{
	fputs(usage, stdout);
}
