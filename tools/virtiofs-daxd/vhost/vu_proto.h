/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user protocol as it is on the wire: numbers and layouts. Integers
 * are in host byte order.
 */
#ifndef VIRTIOFS_DAXD_VU_PROTO_H
#define VIRTIOFS_DAXD_VU_PROTO_H

#include <stdint.h>

/* Messages of the front-end. */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_GET_SHMEM_CONFIG = 44,
	VU_REQUEST_MAX,
};

/* Our messages on the backend channel. */
enum vu_backend_request {
	VU_BACKEND_CONFIG_CHANGE = 2,
	VU_BACKEND_SHMEM_MAP = 9,
	VU_BACKEND_SHMEM_UNMAP = 10,
};

#define VU_F_PROTOCOL_FEATURES (1ULL << 30)

#define VU_PROTOCOL_F_MQ (1ULL << 0)
#define VU_PROTOCOL_F_REPLY_ACK (1ULL << 3)
#define VU_PROTOCOL_F_BACKEND_REQ (1ULL << 5)
#define VU_PROTOCOL_F_CONFIG (1ULL << 9)
#define VU_PROTOCOL_F_BACKEND_SEND_FD (1ULL << 10)
#define VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS (1ULL << 15)
#define VU_PROTOCOL_F_SHMEM (1ULL << 22)

#define VU_VERSION 1
#define VU_VERSION_MASK 3
#define VU_REPLY (1 << 2)
#define VU_NEED_REPLY (1 << 3)

/* In the u64 of SET_VRING_KICK and its like. */
#define VU_VRING_INDEX_MASK 0xff
#define VU_VRING_NO_FD (1 << 8)

#define VU_MAX_REGIONS 8
#define VU_MAX_CONFIG 256
#define VU_MAX_SHMEM 256

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vu_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vu_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vu_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vu_mem_region regions[VU_MAX_REGIONS];
};

struct vu_mem_reg {
	uint64_t padding;
	struct vu_mem_region region;
};

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VU_MAX_CONFIG];
};

struct vu_shmem_config {
	uint32_t count;
	uint32_t padding;
	uint64_t size[VU_MAX_SHMEM];
};

union vu_payload {
	uint64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table table;
	struct vu_mem_reg reg;
	struct vu_config config;
	struct vu_shmem_config shmem;
};

/* Of SHMEM_MAP and SHMEM_UNMAP. */
struct vu_shmem_map {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	uint64_t flags;
};

#define VU_SHMEM_MAP_RW (1ULL << 0)

#endif
