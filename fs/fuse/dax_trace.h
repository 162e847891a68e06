/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of the DAX driver. Offsets and lengths are in bytes and printed
 * in hexadecimal. Not a stable ABI.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM fuse

#if !defined(_TRACE_FUSE_DAX_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_FUSE_DAX_H

#include <linux/tracepoint.h>

struct fuse_dax_map;

DECLARE_EVENT_CLASS(fuse_dax_map_class,
	TP_PROTO(const struct fuse_dax_map *map, int error),
	TP_ARGS(map, error),
	TP_STRUCT__entry(
		__field(u64,	nodeid)
		__field(u64,	ino)
		__field(u64,	foffset)
		__field(u64,	moffset)
		__field(u64,	len)
		__field(bool,	writable)
		__field(int,	error)
	),
	TP_fast_assign(
		__entry->nodeid		= map->nodeid;
		__entry->ino		= map->ino;
		__entry->foffset	= (u64)map->itn.start << PAGE_SHIFT;
		__entry->moffset	= fuse_dax_run_moffset(&map->run);
		__entry->len		= fuse_dax_run_len(&map->run);
		__entry->writable	= map->writable;
		__entry->error		= error;
	),
	TP_printk("nodeid %llu ino %llu foffset 0x%llx moffset 0x%llx len 0x%llx%s error %d",
		  __entry->nodeid, __entry->ino, __entry->foffset,
		  __entry->moffset, __entry->len,
		  __entry->writable ? " writable" : "", __entry->error)
);

#define DEFINE_FUSE_DAX_MAP_EVENT(name)					\
DEFINE_EVENT(fuse_dax_map_class, name,					\
	TP_PROTO(const struct fuse_dax_map *map, int error),		\
	TP_ARGS(map, error))

DEFINE_FUSE_DAX_MAP_EVENT(fuse_dax_setup);
DEFINE_FUSE_DAX_MAP_EVENT(fuse_dax_reclaim);

TRACE_EVENT(fuse_dax_remove,
	TP_PROTO(u64 nodeid, unsigned int count, int error),
	TP_ARGS(nodeid, count, error),
	TP_STRUCT__entry(
		__field(u64,		nodeid)
		__field(unsigned int,	count)
		__field(int,		error)
	),
	TP_fast_assign(
		__entry->nodeid		= nodeid;
		__entry->count		= count;
		__entry->error		= error;
	),
	TP_printk("nodeid %llu count %u error %d", __entry->nodeid,
		  __entry->count, __entry->error)
);

TRACE_EVENT(fuse_dax_fallback,
	TP_PROTO(struct inode *inode, loff_t pos, size_t len, bool write),
	TP_ARGS(inode, pos, len, write),
	TP_STRUCT__entry(
		__field(u64,	nodeid)
		__field(u64,	ino)
		__field(loff_t,	pos)
		__field(size_t,	len)
		__field(bool,	write)
	),
	TP_fast_assign(
		__entry->nodeid		= get_node_id(inode);
		__entry->ino		= inode->i_ino;
		__entry->pos		= pos;
		__entry->len		= len;
		__entry->write		= write;
	),
	TP_printk("nodeid %llu ino %llu pos 0x%llx len 0x%zx %s",
		  __entry->nodeid, __entry->ino, __entry->pos, __entry->len,
		  __entry->write ? "write" : "read")
);

TRACE_EVENT(fuse_dax_wait,
	TP_PROTO(unsigned int nr_free, unsigned int nr_waiters),
	TP_ARGS(nr_free, nr_waiters),
	TP_STRUCT__entry(
		__field(unsigned int,	nr_free)
		__field(unsigned int,	nr_waiters)
	),
	TP_fast_assign(
		__entry->nr_free	= nr_free;
		__entry->nr_waiters	= nr_waiters;
	),
	TP_printk("free ranges %u waiters %u", __entry->nr_free,
		  __entry->nr_waiters)
);

#endif /* _TRACE_FUSE_DAX_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE dax_trace
#include <trace/define_trace.h>
