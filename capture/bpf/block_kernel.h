/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * What block.bpf.c touches of the block layer, the page cache and the cgroup controllers. As in kernel.h, only names
 * and types matter; a field that a kernel does not have is asked for with HAS_FIELD before it is read.
 */
#ifndef STILLFRAME_BLOCK_KERNEL_H
#define STILLFRAME_BLOCK_KERNEL_H

#include "kernel.h"

#define BPF_MAP_TYPE_LRU_HASH 9

static u64 (*const ktime_monotonic)(void) HELPER(5);

/* enum bpf_field_info_kind, enum bpf_type_info_kind and enum bpf_enum_value_kind of libbpf's bpf_core_read.h. */
#define HAS_FIELD(type, field) __builtin_preserve_field_info(((struct type *)0)->field, 2)
#define HAS_TYPE(type) __builtin_preserve_type_info(*(type *)0, 0)
#define TYPE_SIZE(type) __builtin_preserve_type_info(*(type *)0, 1)
#define ENUM_VALUE(type, value) __builtin_preserve_enum_value(*(enum type *)value, 1)

/* The field, whatever the pointer is worth: 0 when the memory can't be read. */
#define READ(pointer, field)                                              \
	({                                                                \
		__typeof__((pointer)->field) value_ = 0;                  \
		read_kernel(&value_, sizeof(value_), &(pointer)->field);  \
		value_;                                                   \
	})

enum cgroup_subsys_id { io_cgrp_id = 1, memory_cgrp_id = 2 };

struct css_set___block {
	struct cgroup_subsys_state *subsys[4];
} CORE;

struct request_queue;
struct request;
struct bio;

/* Until 5.10 (and in kernels with backports) the queue comes first; a54895fa057c and e8a676d61c07 took it away. */
typedef void (*btf_trace_block_rq_issue)(void *, struct request_queue *, struct request *);
typedef void (*btf_trace_block_rq_requeue)(void *, struct request_queue *, struct request *);
typedef void (*btf_trace_block_rq_complete)(void *, struct request_queue *, struct request *, int, unsigned int);
typedef void (*btf_trace_block_bio_queue)(void *, struct request_queue *, struct bio *);

struct gendisk {
	int major;
	int first_minor;
} CORE;

struct request_queue {
	struct gendisk *disk; /* 5.15 */
} CORE;

struct block_device {
	struct gendisk *bd_disk;
} CORE;

/* enum req_op, include/linux/blk_types.h: the operations that carry no data of their own. */
#define REQ_OP_MASK 0xff
#define REQ_OP_DISCARD 3
#define REQ_OP_SECURE_ERASE 5
#define REQ_OP_WRITE_ZEROES 9

struct page {
	unsigned long compound_head;
} CORE;

/* Complete, because it stands in arrays: it has been the same since 2.5. */
struct bio_vec {
	struct page *bv_page;
	u32 bv_len;
	u32 bv_offset;
};

struct bvec_iter {
	u64 bi_sector;
	u32 bi_size;
	u32 bi_idx;
	u32 bi_bvec_done;
} CORE;

struct blkcg {
	struct cgroup_subsys_state css;
} CORE;

struct blkcg_gq {
	struct blkcg *blkcg;
} CORE;

struct bio {
	struct block_device *bi_bdev; /* 5.12 */
	struct gendisk *bi_disk;      /* until 5.11 */
	u32 bi_opf;
	struct bvec_iter bi_iter;
	struct blkcg_gq *bi_blkg;
	struct bio_vec *bi_io_vec;
} CORE;

struct request {
	struct request_queue *q;
	struct gendisk *rq_disk; /* until 5.16 */
	u32 cmd_flags;
	u32 __data_len;
	u64 __sector;
	struct bio *bio;
	u64 start_time_ns;
	u64 io_start_time_ns;
} CORE;

/* Low bits of folio->mapping: anonymous, movable, KSM (include/linux/page-flags.h). */
#define MAPPING_FLAGS 3UL
/* Low bits of folio->memcg_data (include/linux/memcontrol.h, enum page_memcg_data_flags). */
#define MEMCG_OBJEXTS 1UL
#define MEMCG_KMEM 2UL
#define MEMCG_FLAGS 7UL

struct address_space;
struct folio {
	struct address_space *mapping;
	unsigned long memcg_data;
} CORE;

/* Folios came with 5.16; before, the head page has the same fields. */
struct page___before_folios {
	struct address_space *mapping;
	unsigned long memcg_data; /* 5.11 */
} CORE;

struct mem_cgroup {
	struct cgroup_subsys_state css;
} CORE;

struct obj_cgroup {
	struct mem_cgroup *memcg;
} CORE;

/* include/uapi/linux/magic.h: the page cache of a device itself, and memory that only looks like files. */
#define BDEVFS_MAGIC 0x62646576
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6

struct super_block {
	unsigned long s_magic;
} CORE;

struct inode;
struct address_space {
	struct inode *host;
} CORE;

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	struct address_space i_data;
} CORE;

#endif
