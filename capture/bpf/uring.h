/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * Requests of io_uring: what is submitted, what is completed. A part of syscalls.bpf.c.
 *
 * A request is submitted by a thread of the target, or by the ring's kernel thread, which is a thread of the process too
 * but is born without sched_process_fork (kernel/fork.c, create_io_thread): it belongs where its leader does. What
 * completes is found by its ring, since a completion may be posted by anybody, a kworker at the ring's end included.
 */

/* The ring's owner, by the address of its struct io_ring_ctx: who made it, or submitted last. */
struct ring_owner {
	u32 target;
	u32 tgid;
	u32 tid;
	u32 reserved;
	u8 comm[16];
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 8192);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct ring_owner);
} rings SEC(".maps");

/*
 * Requests in flight, by the address of their struct io_kiocb. Those that complete without a word (IOSQE_CQE_SKIP_SUCCESS,
 * a ring that is closed) stay until they are the oldest, or their memory is a request again.
 */
struct request {
	u64 ring;
	u64 user_data;
	u64 time;
	u32 opcode;
	u32 reserved;
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 32768);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct request);
} requests SEC(".maps");

INLINE struct thread *member_or_leader(struct task_struct *task)
{
	struct thread *thread = member(task);
	return thread ? thread : member(task->group_leader);
}

INLINE void own_ring(u64 ring_id, struct task_struct *task, u32 target)
{
	struct ring_owner owner = {};
	owner.target = target;
	owner.tgid = task->tgid;
	owner.tid = task->pid;
	copy_comm(owner.comm, task);
	map_update(&rings, &ring_id, &owner, BPF_ANY);
}

/* io_uring/io_uring.c, io_uring_create: the address may have been that of another's ring before. */
SEC("tp_btf/io_uring_create")
int uring_created(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	u64 ring_id = ctx[1];
	if (thread)
		own_ring(ring_id, task, thread->target);
	else
		map_delete(&rings, &ring_id);
	return 0;
}

INLINE void uring_submitted(struct io_kiocb *request, u32 opcode, u8 flags, s32 fd)
{
	struct task_struct *task = current_task();
	struct thread *thread = member_or_leader(task);
	u64 request_id = (u64)request, ring_id;
	struct request in_flight = {};
	struct ring_owner *owner;
	struct sf_record *record;
	if (!thread)
		return;
	ring_id = (u64)request->ctx;
	in_flight.ring = ring_id;
	in_flight.user_data = request->cqe.user_data;
	in_flight.opcode = opcode;
	in_flight.time = ktime_boot();
	map_update(&requests, &request_id, &in_flight, BPF_ANY);
	owner = map_lookup(&rings, &ring_id);
	if (!owner || owner->tid != task->pid || owner->tgid != task->tgid || owner->target != thread->target)
		own_ring(ring_id, task, thread->target);
	record = ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(SF_DROP_URING);
		return;
	}
	fill(record, task, SF_URING_SUBMIT, thread->target);
	record->time = in_flight.time;
	record->args[0] = ring_id;
	record->args[1] = in_flight.user_data;
	record->args[2] = flags;
	record->args[3] = (u32)fd;
	record->args[4] = record->args[5] = 0;
	record->nr = opcode + 1;
	ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* io_uring/io_uring.c, io_submit_sqe (io_uring_submit_sqe before 6.4). */
SEC("tp_btf/io_uring_submit_req")
int uring_submit(u64 *ctx)
{
	struct io_kiocb *request = (struct io_kiocb *)ctx[0];
	/* The lowest flags are the IOSQE_... that it was submitted with; what is read of fd is a descriptor where it has one. */
	uring_submitted(request, request->opcode, (u8)request->flags, request->cqe.fd);
	return 0;
}

/* io_uring/io_uring.c, io_submit_fail_init: what is wrong with it was found at once. */
SEC("tp_btf/io_uring_req_failed")
int uring_refused(u64 *ctx)
{
	struct io_uring_sqe *entry = (struct io_uring_sqe *)ctx[0];
	struct io_kiocb *request = (struct io_kiocb *)ctx[1];
	uring_submitted(request, entry->opcode, entry->flags, entry->fd);
	return 0;
}

/* `request_id` is 0 where the completion is not the request's own: one of several, or another ring's message. */
INLINE int uring_completed(u8 type, u64 ring_id, u64 request_id, u64 user_data, s32 result, u32 flags)
{
	struct task_struct *task = current_task();
	struct ring_owner *owner = map_lookup(&rings, &ring_id);
	struct request *in_flight = 0;
	struct sf_record *record;
	u32 target, opcode = 0;
	u64 submitted = 0;
	if (owner) {
		target = owner->target;
	} else {
		/* A ring that capture did not see being made or used: whoever completes it, if it is its process. */
		struct thread *thread = member_or_leader(task);
		if (!thread)
			return 0;
		target = thread->target;
	}
	if (request_id)
		in_flight = map_lookup(&requests, &request_id);
	if (in_flight) {
		/* What lives at this address may be no request that was submitted (the notification of a zero-copy send). */
		if (in_flight->ring == ring_id && in_flight->user_data == user_data && !(flags & IORING_CQE_F_NOTIF)) {
			submitted = in_flight->time;
			opcode = in_flight->opcode + 1;
		}
		map_delete(&requests, &request_id);
	}
	record = ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(SF_DROP_URING);
		return 0;
	}
	fill(record, task, type, target);
	record->enter = submitted;
	record->nr = opcode;
	if (owner && record->tgid != owner->tgid) {
		record->tgid = owner->tgid;
		record->tid = owner->tid;
		__builtin_memcpy(record->comm, owner->comm, sizeof(record->comm));
	}
	record->args[0] = ring_id;
	record->args[1] = user_data;
	record->args[2] = flags;
	record->args[3] = record->args[4] = record->args[5] = 0;
	record->ret = result;
	ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* io_uring/io_uring.h, io_fill_cqe_req, and io_uring.c, io_fill_cqe_aux: since 6.16 with the entry. */
SEC("tp_btf/io_uring_complete")
int uring_complete(u64 *ctx)
{
	struct io_uring_cqe *entry = (struct io_uring_cqe *)ctx[2];
	return uring_completed(SF_URING_COMPLETE, ctx[0], ctx[1], entry->user_data, entry->res, entry->flags);
}

/* The same before, with what is in the entry. */
SEC("tp_btf/io_uring_complete")
int uring_complete_parts(u64 *ctx)
{
	return uring_completed(SF_URING_COMPLETE, ctx[0], ctx[1], ctx[2], ctx[3], ctx[4]);
}

/* io_uring/io_uring.c, io_cqring_event_overflow. */
SEC("tp_btf/io_uring_cqe_overflow")
int uring_overflow(u64 *ctx)
{
	return uring_completed(SF_URING_OVERFLOW, ctx[0], 0, ctx[1], ctx[2], ctx[3]);
}
