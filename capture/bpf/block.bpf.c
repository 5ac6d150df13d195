/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * Block requests on the devices of the targets, with their true owner.
 *
 * The task that is on the CPU when a request is issued is seldom the one that wanted it: writeback runs in kworkers.
 * So the owner is looked for in the pages that are read or written (which memory cgroup they are charged to), then in
 * the bio (which block cgroup it is charged to), and only then in the task. What is not a target's is counted and
 * left out. The owner that was found at issue is kept until completion, which happens in anybody's interrupt.
 *
 * Disk and sector are those of the whole disk in all three records, as in blktrace: block_bio_queue comes after the
 * partition was mapped away (submit_bio_noacct_nocheck, block/blk-core.c, 6.18; submit_bio_checks, 5.11), so that the
 * bio's sector counts from the disk's start already, although its bi_bdev is still the partition.
 */
#include "block_kernel.h"

char licensed[] SEC("license") = "Dual MIT/GPL";

/* Filled in by user space before the programs are loaded. */
volatile const u32 record_neighbours = 0;

struct group_key {
	u64 id;
	u64 hierarchy;
};

struct owner {
	u64 inode;
	u32 target;
	u32 class;
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_INT(max_entries, 8 << 20);
} ring SEC(".maps");

/* Whole disks: major << 20 | minor. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_HASH);
	MAP_INT(max_entries, 4096);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u32);
} devices SEC(".maps");

/* Cgroups of the targets -> index + 1; their descendants belong too. 0: one that tells nothing, like the root. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, struct group_key);
	MAP_TYPE(value, u32);
} groups SEC(".maps");

/* Processes (tgid) of targets that have no cgroup of their own -> index + 1. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_HASH);
	MAP_INT(map_flags, BPF_F_NO_PREALLOC);
	MAP_INT(max_entries, 1 << 18);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u32);
} tree SEC(".maps");

/* Requests between issue and completion, neighbours' too. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 32768);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct sf_in_flight);
} requests SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_INT(max_entries, SF_BLOCK_COUNTERS);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u64);
} counters SEC(".maps");

/* A request can be issued from an interrupt that interrupts another's issue: the addition is atomic. */
INLINE void count(u32 index, u64 add)
{
	u64 *counter = map_lookup(&counters, &index);
	if (counter)
		__sync_fetch_and_add(counter, add);
}

/* ---- whose ---- */

/* A cgroup that is neither a target's nor the root: who is in it is known to be somebody else. */
#define SOMEBODY 0xffffffffu

INLINE int is_target(u32 who)
{
	return who != 0 && who != SOMEBODY;
}

/* The target whose cgroup this state belongs to, or lies under; SOMEBODY; 0 when that tells nothing. */
__attribute__((noinline)) u32 who_is(u64 state, u32 hierarchy)
{
	struct cgroup_subsys_state *css = (struct cgroup_subsys_state *)state;
	struct group_key key = {.hierarchy = hierarchy};
	int level;
	for (level = 0; level < 32; level++) {
		struct cgroup_subsys_state *parent;
		struct kernfs_node *node;
		u32 *target;
		if (!css)
			return 0;
		node = READ(READ(css, cgroup), kn);
		key.id = READ(node, id);
		target = map_lookup(&groups, &key);
		if (target)
			return *target;
		parent = READ(css, parent);
		if (!parent)
			break;
		css = parent;
	}
	return level == 0 ? 0 : SOMEBODY;
}

struct task_owner {
	u64 memory; /* its struct cgroup_subsys_state of the memory controller */
	u64 block;
	u32 target;
};

INLINE u64 subsystem(struct css_set *set, u32 id)
{
	u64 state = 0;
	read_kernel(&state, sizeof(state), &((struct css_set___block *)set)->subsys[0] + id);
	return state;
}

INLINE void find_task(struct task_owner *owner)
{
	struct task_struct *task = current_task();
	struct css_set *set = task->cgroups;
	struct cgroup *cgroup;
	u32 tgid = task->tgid, who;
	u32 *member;
	owner->memory = subsystem(set, ENUM_VALUE(cgroup_subsys_id, memory_cgrp_id));
	owner->block = subsystem(set, ENUM_VALUE(cgroup_subsys_id, io_cgrp_id));
	owner->target = 0;
	if (task->flags & PF_KTHREAD)
		return;
	member = map_lookup(&tree, &tgid);
	if (member) {
		owner->target = *member;
		return;
	}
	who = who_is(owner->memory, SF_HIERARCHY_MEMORY);
	if (!is_target(who))
		who = who_is(owner->block, SF_HIERARCHY_BLOCK);
	if (!is_target(who)) {
		cgroup = READ(set, dfl_cgrp);
		who = who_is((u64)&cgroup->self, SF_HIERARCHY_UNIFIED);
	}
	if (is_target(who))
		owner->target = who;
}

INLINE int has_data(struct bio *bio)
{
	u32 op = READ(bio, bi_opf) & REQ_OP_MASK;
	return READ(bio, bi_iter.bi_size) != 0 && op != REQ_OP_DISCARD && op != REQ_OP_SECURE_ERASE &&
	       op != REQ_OP_WRITE_ZEROES;
}

/* The folio (or head page) that the bio's next byte is in, as an address; 0 when it has none. */
INLINE u64 first_folio(struct bio *bio)
{
	struct bio_vec vec = {};
	u64 page, head = 0;
	u32 offset;
	if (!bio || !has_data(bio))
		return 0;
	if (read_kernel(&vec, sizeof(vec), READ(bio, bi_io_vec) + READ(bio, bi_iter.bi_idx)))
		return 0;
	page = (u64)vec.bv_page;
	if (!page)
		return 0;
	/* A vector may span pages of several folios that happen to lie side by side. 12: x86's PAGE_SHIFT. */
	offset = vec.bv_offset + READ(bio, bi_iter.bi_bvec_done);
	page += (u64)(offset >> 12) * TYPE_SIZE(struct page);
	if (HAS_FIELD(page, compound_head))
		head = READ((struct page *)page, compound_head);
	return head & 1 ? head - 1 : page;
}

/* The state of the memory cgroup that the folio is charged to, as an address. */
INLINE u64 memory_of(u64 folio)
{
	struct mem_cgroup *memcg;
	u64 data = 0;
	if (HAS_FIELD(folio, memcg_data))
		data = READ((struct folio *)folio, memcg_data);
	else if (HAS_FIELD(page___before_folios, memcg_data))
		data = READ((struct page___before_folios *)folio, memcg_data);
	/* A slab's objects have owners each; the slab has none. */
	if (data & MEMCG_OBJEXTS || !(data & ~MEMCG_FLAGS))
		return 0;
	if (data & MEMCG_KMEM)
		memcg = READ((struct obj_cgroup *)(data & ~MEMCG_FLAGS), memcg);
	else
		memcg = (struct mem_cgroup *)(data & ~MEMCG_FLAGS);
	return memcg ? (u64)&memcg->css : 0;
}

/*
 * The inode of the file whose page cache the folio is in. Not for the user's memory of direct I/O, for the device's
 * own page cache (metadata of file systems), and for shared memory, whose inode numbers are another file system's.
 */
INLINE u64 inode_of(u64 folio)
{
	struct address_space *mapping;
	struct inode *host;
	unsigned long magic;
	if (HAS_FIELD(folio, mapping))
		mapping = READ((struct folio *)folio, mapping);
	else
		mapping = READ((struct page___before_folios *)folio, mapping);
	if (!mapping || (u64)mapping & MAPPING_FLAGS)
		return 0;
	host = READ(mapping, host);
	/* Slabs and drivers' pages have something else in that place: a mapping is a part of its inode. */
	if (!host || &host->i_data != mapping)
		return 0;
	magic = READ(READ(host, i_sb), s_magic);
	if (magic == BDEVFS_MAGIC || magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC)
		return 0;
	return READ(host, i_ino);
}

INLINE u64 block_of(struct bio *bio)
{
	struct blkcg_gq *group;
	struct blkcg *blkcg;
	if (!bio || !HAS_FIELD(bio, bi_blkg))
		return 0;
	group = READ(bio, bi_blkg);
	blkcg = group ? READ(group, blkcg) : 0;
	return blkcg ? (u64)&blkcg->css : 0;
}

INLINE void find_owner(struct owner *owner, struct bio *bio, struct task_owner *task)
{
	u64 folio = first_folio(bio);
	u64 memory = 0, block;
	u32 by_page = 0, by_bio;
	owner->inode = 0;
	owner->target = 0;
	if (folio) {
		owner->inode = inode_of(folio);
		memory = memory_of(folio);
		by_page = who_is(memory, SF_HIERARCHY_MEMORY);
	}
	if (is_target(by_page)) {
		owner->target = by_page;
		owner->class = SF_OWNER_PAGE;
		return;
	}
	/* A page that is charged to somebody else is somebody else's, unless a process tree lives in the same cgroup. */
	if (by_page == SOMEBODY && !(task && task->target && task->memory == memory)) {
		owner->class = SF_OWNER_PAGE;
		return;
	}
	block = block_of(bio);
	by_bio = who_is(block, SF_HIERARCHY_BLOCK);
	if (is_target(by_bio)) {
		owner->target = by_bio;
		owner->class = SF_OWNER_BIO;
		return;
	}
	if (by_bio == SOMEBODY && !(task && task->target && task->block == block)) {
		owner->class = SF_OWNER_BIO;
		return;
	}
	if (task && task->target) {
		owner->target = task->target;
		owner->class = SF_OWNER_TASK;
		return;
	}
	owner->class = SF_OWNER_UNKNOWN;
}

/* ---- records ---- */

INLINE u32 number_of(struct gendisk *disk)
{
	return disk ? (u32)READ(disk, major) << 20 | (u32)READ(disk, first_minor) : 0;
}

INLINE int is_watched(u32 device)
{
	return device && map_lookup(&devices, &device) != 0;
}

INLINE void record(u8 action, u32 device, struct owner *owner, u32 task_target, u64 time, u64 sector, u32 bytes,
		   u64 cmd_flags, u64 request, u64 latency, s32 error)
{
	struct sf_block *block = ringbuf_reserve(&ring, sizeof(*block), 0);
	u64 ids = current_pid_tgid();
	if (!block) {
		count(SF_BLOCK_LOST, 1);
		return;
	}
	block->action = action;
	block->owner = owner->class;
	block->cpu = smp_processor_id();
	block->major = device >> 20;
	block->time = time;
	block->sector = sector;
	block->request = request;
	block->inode = owner->inode;
	block->latency = latency;
	block->cmd_flags = cmd_flags;
	block->minor = device & 0xfffff;
	block->bytes = bytes;
	block->error = error;
	block->target = owner->target;
	block->task_target = task_target;
	block->tgid = ids >> 32;
	block->tid = (u32)ids;
	block->reserved = 0;
	current_comm(block->comm, sizeof(block->comm));
	ringbuf_submit(block, BPF_RB_NO_WAKEUP);
}

INLINE u32 device_of(struct request *rq)
{
	if (HAS_FIELD(request, rq_disk))
		return number_of(READ(rq, rq_disk));
	return number_of(READ(READ(rq, q), disk));
}

/* Passthrough requests and flushes have no sector: all ones (blk_rq_trace_sector, include/linux/blktrace_api.h). */
INLINE u64 sector_of(struct request *rq)
{
	u64 sector = READ(rq, __sector);
	return sector == ~0ULL ? 0 : sector;
}

/* The tracepoint's argument after the queue that some kernels put first. Keeps the loads apart: one of them is dead. */
#define ARGUMENT(result, ctx, index, typedef_)                       \
	do {                                                         \
		if (HAS_TYPE(typedef_)) {                            \
			result = (ctx)[(index) + 1];                 \
			asm volatile("" : "+r"(result));             \
		} else {                                             \
			result = (ctx)[index];                       \
		}                                                    \
	} while (0)

SEC("tp_btf/block_bio_queue")
int bio_queue(u64 *ctx)
{
	struct task_owner task;
	struct owner owner;
	struct bio *bio;
	u32 device;
	u64 argument, time;
	ARGUMENT(argument, ctx, 0, btf_trace_block_bio_queue);
	bio = (struct bio *)argument;
	if (HAS_FIELD(bio, bi_bdev))
		device = number_of(READ(READ(bio, bi_bdev), bd_disk));
	else
		device = number_of(READ(bio, bi_disk));
	if (!is_watched(device))
		return 0;
	time = ktime_boot();
	find_task(&task);
	find_owner(&owner, bio, &task);
	if (!owner.target && !record_neighbours)
		return 0;
	record(SF_BLOCK_QUEUE, device, &owner, task.target, time, READ(bio, bi_iter.bi_sector),
	       READ(bio, bi_iter.bi_size), READ(bio, bi_opf), 0, SF_NO_LATENCY, 0);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int request_issue(u64 *ctx)
{
	struct sf_in_flight entry = {}, *before;
	struct task_owner task;
	struct owner owner;
	struct request *rq;
	u32 device, bytes;
	u64 argument, latency = SF_NO_LATENCY, started;
	ARGUMENT(argument, ctx, 0, btf_trace_block_rq_issue);
	rq = (struct request *)argument;
	device = device_of(rq);
	if (!is_watched(device))
		return 0;
	entry.issued = ktime_boot();
	find_task(&task);
	find_owner(&owner, READ(rq, bio), &task);
	entry.inode = owner.inode;
	entry.target = owner.target;
	entry.class = owner.class;
	entry.device = device;
	entry.op = READ(rq, cmd_flags) & REQ_OP_MASK;
	/*
	 * Issued before, and neither completed nor given back since: on Linux 6.18 it was seen that a completion runs no BPF
	 * program at all, while perf counts it, and that the kernel counts no miss.
	 */
	before = map_lookup(&requests, &argument);
	if (before && (before->target || record_neighbours))
		count(SF_BLOCK_UNSEEN, 1);
	/* A neighbour's is kept too, so that its completion is known to be a neighbour's. */
	if (map_update(&requests, &argument, &entry, BPF_ANY))
		count(SF_BLOCK_UNTRACKED, 1);
	bytes = READ(rq, __data_len);
	if (!owner.target) {
		count(SF_BLOCK_NEIGHBOUR_REQUESTS, 1);
		count(SF_BLOCK_NEIGHBOUR_BYTES, bytes);
		if (!record_neighbours)
			return 0;
	}
	/* CLOCK_MONOTONIC; 0 where neither statistics nor a scheduler ask for it (blk_mq_need_time_stamp). */
	started = READ(rq, start_time_ns);
	if (started) {
		u64 now = ktime_monotonic();
		latency = now > started ? now - started : 0;
	}
	record(SF_BLOCK_ISSUE, device, &owner, task.target, entry.issued, sector_of(rq), bytes,
	       READ(rq, cmd_flags), argument, latency, 0);
	return 0;
}

/* The driver could not take it: it is issued once more. */
SEC("tp_btf/block_rq_requeue")
int request_requeue(u64 *ctx)
{
	u64 argument;
	ARGUMENT(argument, ctx, 0, btf_trace_block_rq_requeue);
	map_delete(&requests, &argument);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int request_complete(u64 *ctx)
{
	struct sf_in_flight *known;
	struct task_owner task;
	struct owner owner;
	struct request *rq;
	u32 device, bytes;
	u64 argument, failure, length, latency = SF_NO_LATENCY, time;
	ARGUMENT(argument, ctx, 0, btf_trace_block_rq_complete);
	rq = (struct request *)argument;
	device = device_of(rq);
	if (!is_watched(device))
		return 0;
	time = ktime_boot();
	ARGUMENT(failure, ctx, 1, btf_trace_block_rq_complete);
	ARGUMENT(length, ctx, 2, btf_trace_block_rq_complete);
	bytes = length;
	known = map_lookup(&requests, &argument);
	if (known) {
		owner.inode = known->inode;
		owner.target = known->target;
		owner.class = known->class;
		latency = time > known->issued ? time - known->issued : 0;
		/* A device may finish a request in parts. */
		if (bytes >= READ(rq, __data_len))
			map_delete(&requests, &argument);
	} else {
		/* Issued before this program was attached: the task on the CPU is nobody's witness. */
		u64 started = READ(rq, io_start_time_ns), now = ktime_monotonic();
		find_owner(&owner, READ(rq, bio), 0);
		if (started)
			latency = now > started ? now - started : 0;
	}
	if (!owner.target && !record_neighbours)
		return 0;
	find_task(&task);
	record(SF_BLOCK_COMPLETE, device, &owner, task.target, time, sector_of(rq), bytes, READ(rq, cmd_flags), argument,
	       latency, (s32)failure);
	return 0;
}

/* ---- process trees ---- */

SEC("tp_btf/sched_process_fork")
int tree_fork(u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	u32 from = parent->tgid, to = child->tgid;
	u32 *target, number;
	if (from == to)
		return 0;
	target = map_lookup(&tree, &from);
	if (!target)
		return 0;
	number = *target;
	if (map_update(&tree, &to, &number, BPF_ANY))
		count(SF_BLOCK_UNTRACKED, 1);
	return 0;
}

/* Not at exit: closing its files at the end of its life is I/O too. */
SEC("tp_btf/sched_process_free")
int tree_free(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	u32 tgid = task->tgid;
	if (task->pid == task->tgid)
		map_delete(&tree, &tgid);
	return 0;
}
