/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * System calls and process changes of the targets.
 *
 * A thread belongs to a target when it has an entry in `threads` (task storage). Entries are made by three hooks
 * and one iterator: a child is born (fork), a process is moved to another cgroup (attach), and, once for every
 * target that is added, a walk over all tasks. So the two hot hooks ask for no cgroup: a task without any task
 * storage is nobody's, which is one load, and that is all that the rest of the host pays.
 */
#include "kernel.h"

char licensed[] SEC("license") = "Dual MIT/GPL";

/* Filled in by user space before the programs are loaded, so the verifier sees constants. */
volatile const u32 self_tgid = 0;
volatile const u32 watches_entries = 1;
volatile const u32 group_mode = SF_GROUP_CGROUP2;

struct thread {
	u64 enter;
	u64 args[8]; /* six, and room so that a masked index stays inside */
	u32 nr;
	u32 target;
	u8 abi;
	u8 in_call;
	u8 by_tree; /* belongs because its parent does, whatever its cgroup is */
	u8 known;   /* an entry was seen: what `in_call` says is true */
	u32 exec_slot; /* from 1, while an execve is under way that has one */
};

/* Off is at most 0x3fff; after it a capture's header and SF_PATH_MAX bytes must fit. */
#define OFF_MASK 0x3fff
#define BYTES (OFF_MASK + 1 + sizeof(struct sf_capture) + 2 * SF_PATH_MAX + 64)

struct scratch {
	u64 args[8];
	s64 ret;
	u32 off;
	u32 compat;
	u32 count;
	u32 nr;
	u32 data_limit; /* of the call's rule */
	u32 list_len; /* what `gather` found */
	u32 list_status;
	u8 bytes[BYTES];
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_INT(max_entries, 64 << 20);
} ring SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_TASK_STORAGE);
	MAP_INT(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct thread);
} threads SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_INT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct scratch);
} scratches SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_INT(max_entries, SF_DROPS);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u64);
} drops SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_ARRAY);
	MAP_INT(max_entries, 2 * SF_RULES);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct sf_rule);
} rules SEC(".maps");

/* Cgroup ids or pid namespaces of the targets -> index + 1. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_HASH);
	MAP_INT(max_entries, 4096);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, u32);
} groups SEC(".maps");

/* Only while tasks are walked: tgids that belong to a tree -> index + 1. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_HASH);
	MAP_INT(map_flags, BPF_F_NO_PREALLOC);
	MAP_INT(max_entries, 1 << 20);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u32);
} tree_members SEC(".maps");

INLINE u32 bounded(u64 value, u32 limit)
{
	u32 result = value > limit ? limit : (u32)value;
	/* Keeps the compiler from reasoning the bound away before the verifier has seen it. */
	asm volatile("" : "+r"(result));
	return result;
}

/*
 * Whether `n`, a u32 variable, is a size between 1 and `max`. Two comparisons of one register: out of `n > 0 && n <= max`
 * the compiler makes one of `n - 1`, and the verifier of Linux 6.1 does not carry its outcome back to `n`.
 */
#define FITS(n, max) \
	((n) != 0 && ({ asm volatile("" : "+r"(n)); (n) <= (max); }))

INLINE void count_drop(u32 class)
{
	u64 *counter = map_lookup(&drops, &class);
	if (counter)
		*counter += 1;
}

/* ---- who belongs ---- */

INLINE u32 target_by_group(struct task_struct *task)
{
	if (group_mode == SF_GROUP_CGROUP2) {
		struct cgroup *cgroup = task->cgroups->dfl_cgrp;
		struct cgroup_subsys_state *css = &cgroup->self;
		for (int level = 0; level < 16; level++) {
			u64 id;
			u32 *target;
			if (!css)
				break;
			id = css->cgroup->kn->id;
			target = map_lookup(&groups, &id);
			if (target)
				return *target;
			css = css->parent;
		}
	} else if (group_mode == SF_GROUP_PIDNS) {
		u64 id = task->nsproxy->pid_ns_for_children->ns.inum;
		u32 *target = map_lookup(&groups, &id);
		if (target)
			return *target;
	}
	return 0;
}

/* The thread's entry, if it has ever been a target's. */
INLINE struct thread *entry_of(struct task_struct *task)
{
	return task->bpf_storage ? task_storage_get(&threads, task, 0, 0) : 0;
}

/* The thread's entry, if it is a target's. */
INLINE struct thread *member(struct task_struct *task)
{
	struct thread *thread = entry_of(task);
	return thread && thread->target ? thread : 0;
}

/* ---- records ---- */

/* Two loads: bpf_get_current_comm copies a string, clears the rest, and is a call, a tenth of what this program costs. */
INLINE void copy_comm(u8 *to, struct task_struct *task)
{
	((u64 *)to)[0] = ((u64 *)task->comm)[0];
	((u64 *)to)[1] = ((u64 *)task->comm)[1];
}

INLINE void fill(struct sf_record *record, struct task_struct *task, u8 type, u32 target)
{
	record->type = type;
	record->abi = 0;
	record->flags = 0;
	record->capture_count = 0;
	record->cpu = smp_processor_id();
	record->reserved = 0;
	record->time = ktime_boot();
	record->enter = 0;
	record->ret = 0;
	record->nr = 0;
	record->target = target;
	record->tgid = task->tgid;
	record->tid = task->pid;
	copy_comm(record->comm, task);
	record->data_len = 0;
	record->sequence = 0;
}

/* A record without captures. */
INLINE void small_record(struct task_struct *task, u8 type, u32 target, u64 a, u64 b, u64 c)
{
	struct sf_record *record = ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(SF_DROP_PROCESS);
		return;
	}
	fill(record, task, type, target);
	record->args[0] = a;
	record->args[1] = b;
	record->args[2] = c;
	record->args[3] = record->args[4] = record->args[5] = 0;
	ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* ---- captures ---- */

INLINE void capture_header(struct scratch *s, u32 off, u8 arg, u8 kind, u8 when, u8 status, u32 len, u64 original)
{
	struct sf_capture *capture = (struct sf_capture *)(s->bytes + (off & OFF_MASK));
	capture->arg = arg;
	capture->kind = kind;
	capture->when = when;
	capture->status = status;
	capture->len = len;
	capture->original = original;
	s->off = (off & OFF_MASK) + sizeof(struct sf_capture) + ((len + 7) & ~7u);
	s->count++;
}

#define AT(s, off) ((s)->bytes + ((off) & OFF_MASK) + sizeof(struct sf_capture))
#define EFAULT 14

INLINE void capture_string(struct scratch *s, u8 arg, u8 kind, u64 from)
{
	u32 off = s->off;
	long n;
	if (!from)
		return;
	n = read_user_str(AT(s, off), SF_PATH_MAX + 2, (void *)from);
	if (n < 0)
		capture_header(s, off, arg, kind, SF_AT_EXIT, SF_FAILED, 0, -n);
	else if (n > SF_PATH_MAX)
		capture_header(s, off, arg, kind, SF_AT_EXIT, SF_TRUNCATED, SF_PATH_MAX, 0);
	else
		capture_header(s, off, arg, kind, SF_AT_EXIT, SF_WHOLE, n > 0 ? n - 1 : 0, 0);
}

/* `length` bytes at `from`, at most `limit` of them. */
INLINE void capture_bytes(struct scratch *s, u8 arg, u8 kind, u64 from, u64 length, u32 limit)
{
	u32 off = s->off;
	u32 n = bounded(length, limit);
	long error = 0;
	if (!from)
		return;
	if (FITS(n, SF_DATA_MAX))
		error = read_user(AT(s, off), n, (void *)from);
	if (error)
		capture_header(s, off, arg, kind, SF_AT_EXIT, SF_FAILED, 0, EFAULT);
	else
		capture_header(s, off, arg, kind, SF_AT_EXIT, n < length ? SF_TRUNCATED : SF_WHOLE, n, n < length ? length : 0);
}

struct segment {
	u64 base;
	u64 len;
};

INLINE long read_segment(struct scratch *s, u64 from, u32 index, struct segment *segment)
{
	if (s->compat) {
		u32 pair[2];
		long error = read_user(pair, sizeof(pair), (void *)(from + index * 8));
		segment->base = pair[0];
		segment->len = pair[1];
		return error;
	}
	return read_user(segment, sizeof(*segment), (void *)(from + index * 16));
}

/* The first bytes of a segment list, as one buffer. `total` is an upper bound of its length: ~0 when unknown. */
INLINE void capture_segments(struct scratch *s, u8 arg, u64 from, u64 count, u64 total)
{
	u32 off = s->off;
	u32 done = 0;
	u64 length = 0;
	u32 limit = bounded(s->data_limit, SF_DATA_MAX);
	long error = 0;
	if (!from)
		return;
	for (u32 i = 0; i < 8; i++) {
		struct segment segment;
		u32 n;
		if (i >= count || length >= total)
			break;
		error = read_segment(s, from, i, &segment);
		if (error)
			break;
		if (segment.len > total - length)
			segment.len = total - length;
		length += segment.len;
		if (done >= limit)
			continue;
		n = bounded(segment.len, limit - done);
		if (!FITS(n, SF_DATA_MAX))
			continue;
		/* done < SF_DATA_MAX and n <= SF_DATA_MAX: two of them fit behind any offset. */
		error = read_user(AT(s, off) + (done & (SF_DATA_MAX - 1)), n, (void *)segment.base);
		if (error)
			break;
		done += n;
	}
	if (error && !done) {
		capture_header(s, off, arg, SF_KIND_BUFFER, SF_AT_EXIT, SF_FAILED, 0, EFAULT);
		return;
	}
	/* More segments than were looked at: the result knows the length, or nobody does. */
	if (count > 8)
		length = total != ~0ULL ? total : 0;
	done = bounded(done, SF_DATA_MAX);
	if (done == length && !error)
		capture_header(s, off, arg, SF_KIND_BUFFER, SF_AT_EXIT, SF_WHOLE, done, 0);
	else
		capture_header(s, off, arg, SF_KIND_BUFFER, SF_AT_EXIT, SF_TRUNCATED, done, length);
}

struct message {
	u64 name;
	u32 namelen;
	u32 pad;
	u64 iov;
	u64 iovlen;
	u64 control;
	u64 controllen;
	u64 flags;
};

INLINE long read_message(struct scratch *s, u64 from, struct message *message)
{
	if (s->compat) {
		u32 words[7];
		long error = read_user(words, sizeof(words), (void *)from);
		message->name = words[0];
		message->namelen = words[1];
		message->iov = words[2];
		message->iovlen = words[3];
		message->control = words[4];
		message->controllen = words[5];
		return error;
	}
	return read_user(message, sizeof(*message), (void *)from);
}

/* The structure, its iovecs, its control bytes: one after the other, as they lie in memory. */
INLINE void capture_message(struct scratch *s, u8 arg, u8 kind, u64 from)
{
	u32 off = s->off, at, n, entry = s->compat ? 8 : 16;
	u32 head = s->compat ? 28 : 56;
	struct message message = {};
	if (!from)
		return;
	if (read_message(s, from, &message) || read_user(AT(s, off), 56, (void *)from)) {
		/* The last bytes of a short one may lie behind what is mapped. */
		if (!s->compat || read_user(AT(s, off), 28, (void *)from)) {
			capture_header(s, off, arg, kind, SF_AT_EXIT, SF_FAILED, 0, EFAULT);
			return;
		}
	}
	at = head;
	n = bounded(message.iovlen, SF_MSG_IOVECS) * entry;
	if (FITS(n, SF_MSG_IOVECS * 16)) {
		if (read_user(AT(s, off) + (at & 63), n, (void *)message.iov))
			goto cut;
		at += n;
	}
	n = bounded(message.controllen, SF_CONTROL_MAX);
	if (message.control && FITS(n, SF_CONTROL_MAX)) {
		if (read_user(AT(s, off) + (at & 255), n, (void *)message.control))
			goto cut;
		at += n;
	}
	if (message.iovlen <= SF_MSG_IOVECS && message.controllen <= SF_CONTROL_MAX) {
		capture_header(s, off, arg, kind, SF_AT_EXIT, SF_WHOLE, at & 511, 0);
		return;
	}
cut:
	capture_header(s, off, arg, kind, SF_AT_EXIT, SF_TRUNCATED, at & 511, 0);
}

INLINE void capture_sockaddr(struct scratch *s, u8 arg, u64 from, u32 length)
{
	if (!from || !length || length > 0x7fffffff)
		return;
	capture_bytes(s, arg, SF_KIND_SOCKADDR, from, length, SF_SOCKADDR_MAX);
}

/* Bytes behind an ioctl request that says how many: in its own bits, or, of the old ones, in its name. */
INLINE u32 ioctl_size(u32 request)
{
	switch (request) {
	case 0x5401: case 0x5402: case 0x5403: case 0x5404: /* TCGETS, TCSETS, TCSETSW, TCSETSF: struct termios */
		return 36;
	case 0x5413: case 0x5414: /* TIOCGWINSZ, TIOCSWINSZ: struct winsize */
		return 8;
	case 0x540f: case 0x5410: case 0x541b: case 0x5421: /* TIOCGPGRP, TIOCSPGRP, FIONREAD, FIONBIO: int */
		return 4;
	}
	return request >> 30 ? request >> 16 & 0x3fff : 0;
}

/* Verified once, on its own: one capture of a rule. */
__attribute__((noinline)) int capture_op(struct scratch *s, u32 packed)
{
	u8 op = packed & 0x7f, arg = (packed >> 8) & 7, len_arg = (packed >> 16) & 0xff, kind = packed >> 24;
	u64 from, count;
	struct message message = {};
	if (!s)
		return 0;
	if ((packed & SF_OP_IF_OK) && s->ret < 0)
		return 0;
	from = s->args[arg & 7];
	count = s->args[len_arg & 7];
	switch (op) {
	case SF_OP_STRING:
		capture_string(s, arg, kind, from);
		break;
	case SF_OP_SOCKADDR:
		capture_sockaddr(s, arg, from, count);
		break;
	case SF_OP_SOCKADDR_OUT: {
		u32 length = 0;
		if (from && count && !read_user(&length, sizeof(length), (void *)count))
			capture_sockaddr(s, arg, from, length);
		break;
	}
	case SF_OP_BUFFER:
		capture_bytes(s, arg, kind, from, count, bounded(s->data_limit, SF_DATA_MAX));
		break;
	case SF_OP_BUFFER_RET:
		if (s->ret >= 0)
			capture_bytes(s, arg, kind, from, s->ret, bounded(s->data_limit, SF_DATA_MAX));
		break;
	case SF_OP_IOVEC:
		capture_segments(s, arg, from, count, ~0ULL);
		break;
	case SF_OP_IOVEC_RET:
		if (s->ret >= 0)
			capture_segments(s, arg, from, count, s->ret);
		break;
	case SF_OP_MSG_NAME:
		if (from && !read_message(s, from, &message))
			capture_sockaddr(s, arg, message.name, message.namelen);
		break;
	case SF_OP_MSG_DATA:
	case SF_OP_MSG_DATA_RET:
		if (op == SF_OP_MSG_DATA_RET && s->ret < 0)
			break;
		if (from && !read_message(s, from, &message))
			capture_segments(s, arg, message.iov, message.iovlen, op == SF_OP_MSG_DATA_RET ? s->ret : ~0ULL);
		break;
	case SF_OP_FIXED:
		capture_bytes(s, arg, kind, from, len_arg, SF_FIXED_MAX);
		break;
	case SF_OP_ARRAY: {
		u32 holder = len_arg & 7;
		u64 elements = holder == 6 ? (u64)s->ret : s->args[holder];
		if (holder == 6 && s->ret < 0)
			break;
		/* A count is an int or a size: what is larger than any, the kernel refuses. */
		capture_bytes(s, arg, kind, from, bounded(elements, 1 << 20) * (u64)(len_arg >> 3) * 4, SF_ARRAY_MAX);
		break;
	}
	case SF_OP_BITS:
		capture_bytes(s, arg, kind, from, (bounded(count, 1 << 16) + 63) / 64 * 8, SF_ARRAY_MAX);
		break;
	case SF_OP_MSG:
		capture_message(s, arg, kind, from);
		break;
	case SF_OP_BUFFER_PTR: {
		u32 length = 0;
		if (from && count && !read_user(&length, sizeof(length), (void *)count))
			capture_bytes(s, arg, kind, from, length, bounded(s->data_limit, SF_DATA_MAX));
		break;
	}
	case SF_OP_FUTEX: {
		/* WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2; of the others it is a number. */
		u32 futex = s->args[1] & 0x7f;
		if (futex == 0 || futex == 6 || futex == 9 || futex == 11 || futex == 13)
			capture_bytes(s, arg, kind, from, len_arg, SF_FIXED_MAX);
		break;
	}
	case SF_OP_FCNTL: {
		/* F_GETLK, F_SETLK, F_SETLKW, and those of open file descriptions. */
		u32 command = s->args[1];
		if ((command >= 5 && command <= 7) || (command >= 36 && command <= 38))
			capture_bytes(s, arg, kind, from, len_arg, SF_FIXED_MAX);
		break;
	}
	case SF_OP_IOCTL: {
		u32 size = ioctl_size(s->args[1]);
		/* What is only read out is not there when the call failed. */
		if (size && (s->ret >= 0 || s->args[1] >> 30 & 1))
			capture_bytes(s, arg, kind, from, size, SF_FIXED_MAX);
		break;
	}
	}
	return 0;
}

/* ---- the calls ---- */

INLINE u8 abi_of(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT ? 1 : 0;
}

INLINE void read_args(u64 *args, struct pt_regs *regs, u8 abi)
{
	if (abi) {
		args[0] = (u32)regs->bx;
		args[1] = (u32)regs->cx;
		args[2] = (u32)regs->dx;
		args[3] = (u32)regs->si;
		args[4] = (u32)regs->di;
		args[5] = (u32)regs->bp;
	} else {
		args[0] = regs->di;
		args[1] = regs->si;
		args[2] = regs->dx;
		args[3] = regs->r10;
		args[4] = regs->r8;
		args[5] = regs->r9;
	}
}

#include "exec.h"

SEC("tp_btf/sys_enter")
int call_enter(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	struct pt_regs *regs;
	u8 abi;
	if (!thread)
		return 0;
	regs = (struct pt_regs *)ctx[0];
	abi = abi_of(task);
	thread->abi = abi;
	thread->nr = ctx[1];
	read_args(thread->args, regs, abi);
	thread->in_call = 1;
	thread->known = 1;
	if (unlikely(is_exec(thread->nr, abi))) {
		struct exec_name *name = begin_exec(task, thread);
		u8 at = thread->nr == 322 || thread->nr == 358;
		if (name) {
			long n = read_user_str(name->bytes, SF_PATH_MAX + 2, (void *)thread->args[at]);
			name->status = n < 0 ? SF_FAILED : n > SF_PATH_MAX ? SF_TRUNCATED : SF_WHOLE;
			name->original = n < 0 ? -n : 0;
			name->len = n < 0 ? 0 : n > SF_PATH_MAX ? SF_PATH_MAX : n > 0 ? n - 1 : 0;
			exec_lists(name, thread->args[(at + 1) & 7], thread->args[(at + 2) & 7], abi);
		}
	}
	thread->enter = ktime_boot();
	return 0;
}

INLINE void fill_call(struct sf_record *record, struct task_struct *task, struct thread *thread, s64 ret, u8 flags)
{
	fill(record, task, SF_SYSCALL, thread->target);
	record->abi = thread->abi;
	record->flags = flags;
	record->enter = thread->enter;
	record->nr = thread->nr;
	record->ret = ret;
	for (int i = 0; i < 6; i++)
		record->args[i] = thread->args[i];
}

/* A call of which nothing is copied: its record is made where user space takes it. */
INLINE void bare_call(struct task_struct *task, struct thread *thread, s64 ret, u8 flags)
{
	struct sf_record *record = ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(SF_DROP_SYSCALL);
		return;
	}
	fill_call(record, task, thread, ret, flags);
	ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* What `buffer_call` takes at most, and less. A record's room in the ring is what the verifier knows before. */
#define SMALL_MAX 64
#define SMALL_MIN 8

/* `length` bytes at `from` behind `arg`, of which the first `n`, at most `room`, are copied: as `capture_bytes` does. */
#define BUFFER_CALL(room)                                                                                              \
	do {                                                                                                           \
		struct {                                                                                               \
			struct sf_record record;                                                                       \
			struct sf_capture capture;                                                                     \
			u8 bytes[room];                                                                                \
		} *small = ringbuf_reserve(&ring, sizeof(*small), 0);                                                  \
		if (!small) {                                                                                          \
			count_drop(SF_DROP_SYSCALL);                                                                   \
			return;                                                                                        \
		}                                                                                                      \
		fill_call(&small->record, task, thread, ret, flags);                                                   \
		if (FITS(n, room) && read_user(small->bytes, n, (void *)from)) {                                       \
			status = SF_FAILED;                                                                            \
			original = EFAULT;                                                                             \
			n = 0;                                                                                         \
		}                                                                                                      \
		small->capture.arg = op->arg;                                                                          \
		small->capture.kind = op->kind;                                                                        \
		small->capture.when = SF_AT_EXIT;                                                                      \
		small->capture.status = status;                                                                        \
		small->capture.len = n;                                                                                \
		small->capture.original = original;                                                                    \
		small->record.capture_count = 1;                                                                       \
		small->record.data_len = sizeof(small->capture) + ((n + 7) & ~7u);                                     \
		ringbuf_submit(small, BPF_RB_NO_WAKEUP);                                                               \
	} while (0)

/* A call with one buffer, such as read and write, of which little is copied: no detour through the scratch. */
INLINE void buffer_call(struct task_struct *task, struct thread *thread, s64 ret, u8 flags, struct sf_rule *rule)
{
	struct sf_op *op = &rule->ops[0];
	u64 from = thread->args[op->arg & 7];
	u64 length = op->op == SF_OP_BUFFER ? thread->args[op->len & 7] : (u64)ret;
	u32 n = bounded(length, bounded(rule->limit, SMALL_MAX));
	u8 status = n < length ? SF_TRUNCATED : SF_WHOLE;
	u64 original = n < length ? length : 0;
	if (!from || (op->op == SF_OP_BUFFER_RET && ret < 0)) {
		bare_call(task, thread, ret, flags);
		return;
	}
	if (n <= SMALL_MIN)
		BUFFER_CALL(SMALL_MIN);
	else
		BUFFER_CALL(SMALL_MAX);
}

/* Any other call: what is copied is gathered in the scratch, since nobody knows before how much it is. */
INLINE void call_with_captures(struct task_struct *task, struct thread *thread, s64 ret, u8 flags, struct sf_rule *rule)
{
	struct sf_record *record;
	struct scratch *s;
	u32 zero = 0, total;
	s = map_lookup(&scratches, &zero);
	if (!s)
		return;
	record = (struct sf_record *)s->bytes;
	fill_call(record, task, thread, ret, flags);
	s->ret = ret;
	s->off = sizeof(*record);
	s->compat = thread->abi;
	s->data_limit = rule->limit;
	s->count = 0;
	for (int i = 0; i < 6; i++)
		s->args[i] = thread->args[i];
	for (u32 i = 0; i < SF_OPS; i++) {
		struct sf_op *op = &rule->ops[i];
		if (i >= rule->count)
			break;
		if (op->op == SF_OP_EXEC_NAME)
			capture_exec_name(s, exec_name_of(task, thread), op->arg);
		else if (op->op == SF_OP_EXEC_ARGV)
			capture_exec_argv(s, task, exec_name_of(task, thread), op->arg);
		else if (op->op == SF_OP_EXEC_ENVP)
			capture_exec_envp(s, exec_name_of(task, thread), op->arg);
		else
			capture_op(s, op->op | (u32)op->arg << 8 | (u32)op->len << 16 | (u32)op->kind << 24);
	}
	if (unlikely(is_exec(thread->nr, thread->abi)))
		end_exec(task, thread);
	record->capture_count = s->count;
	total = s->off;
	if (total < sizeof(*record) || total > BYTES)
		return;
	record->data_len = total - sizeof(*record);
	if (ringbuf_output(&ring, s->bytes, total, BPF_RB_NO_WAKEUP))
		count_drop(SF_DROP_SYSCALL);
}

SEC("tp_btf/sys_exit")
int call_exit(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	struct sf_rule *rule = 0;
	s64 ret = ctx[1];
	u8 flags = 0;
	if (!thread)
		return 0;
	if (!thread->in_call) {
		struct pt_regs *regs = (struct pt_regs *)ctx[0];
		thread->abi = abi_of(task);
		thread->nr = regs->orig_ax;
		thread->enter = 0;
		thread->known = 1;
		read_args(thread->args, regs, thread->abi);
		flags = SF_ENTRY_UNSEEN;
	}
	thread->in_call = 0;
	if (thread->nr < SF_RULES) {
		u32 index = thread->abi ? thread->nr + SF_RULES : thread->nr;
		rule = map_lookup(&rules, &index);
	}
	if (!rule || !rule->count)
		bare_call(task, thread, ret, flags);
	else if (rule->count == 1 && rule->limit <= SMALL_MAX &&
		 (rule->ops[0].op == SF_OP_BUFFER || rule->ops[0].op == SF_OP_BUFFER_RET))
		buffer_call(task, thread, ret, flags, rule);
	else
		call_with_captures(task, thread, ret, flags, rule);
	return 0;
}

/* ---- processes ---- */

SEC("tp_btf/sched_process_fork")
int process_fork(u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	struct thread *from, *thread;
	u32 target;
	u8 by_tree = 0;
	if (child->flags & PF_KTHREAD || child->tgid == self_tgid)
		return 0;
	from = member(parent);
	target = target_by_group(child);
	if (!target && from && from->by_tree) {
		target = from->target;
		by_tree = 1;
	}
	if (target) {
		thread = task_storage_get(&threads, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!thread) {
			count_drop(SF_DROP_PROCESS);
			return 0;
		}
		if (from) {
			/* The call returns twice, and the child did not enter it. */
			thread->enter = from->enter;
			for (int i = 0; i < 6; i++)
				thread->args[i] = from->args[i];
			thread->nr = from->nr;
			thread->abi = from->abi;
			thread->in_call = from->in_call;
			thread->known = 1;
		}
		thread->by_tree = by_tree;
		thread->target = target;
	}
	if (target || from)
		small_record(parent, SF_FORK, from ? from->target : 0, child->tgid, child->pid, target);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_exec(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct linux_binprm *program = (struct linux_binprm *)ctx[2];
	struct thread *thread = member(task);
	struct exec_name *name;
	struct scratch *s;
	struct sf_record *record;
	u32 zero = 0, total;
	u64 start, end;
	long n;
	if (!thread)
		return 0;
	s = map_lookup(&scratches, &zero);
	if (!s)
		return 0;
	record = (struct sf_record *)s->bytes;
	fill(record, task, SF_EXEC, thread->target);
	record->args[0] = (u32)ctx[1];
	for (int i = 1; i < 6; i++)
		record->args[i] = 0;
	s->off = sizeof(*record);
	s->count = 0;
	n = read_kernel_str(AT(s, s->off), SF_PATH_MAX + 2, program->filename);
	if (n < 0)
		capture_header(s, s->off, 0, SF_KIND_PATH, SF_AT_ENTRY, SF_FAILED, 0, -n);
	else
		capture_header(s, s->off, 0, SF_KIND_PATH, SF_AT_ENTRY, n > SF_PATH_MAX ? SF_TRUNCATED : SF_WHOLE,
			       n > SF_PATH_MAX ? SF_PATH_MAX : n > 0 ? n - 1 : 0, 0);
	/* What could not be read from the old memory at entry, the kernel has a copy of. */
	name = exec_name_of(task, thread);
	if (name && name->status == SF_FAILED && (thread->nr == 59 || thread->nr == 11)) {
		n = read_kernel_str(name->bytes, SF_PATH_MAX + 2, program->filename);
		if (n > 0 && n <= SF_PATH_MAX) {
			name->status = SF_WHOLE;
			name->len = n - 1;
			name->original = 0;
		}
	}
	start = task->mm->arg_start;
	end = task->mm->arg_end;
	capture_bytes(s, 1, SF_KIND_STRINGS, start, end > start ? end - start : 0, SF_DATA_MAX);
	record->capture_count = s->count;
	total = s->off;
	if (total < sizeof(*record) || total > BYTES)
		return 0;
	record->data_len = total - sizeof(*record);
	if (ringbuf_output(&ring, s->bytes, total, BPF_RB_NO_WAKEUP))
		count_drop(SF_DROP_PROCESS);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int process_exit(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct thread *thread = entry_of(task);
	if (!thread)
		return 0;
	/* Also of a thread that left its target in the middle of an exec. */
	if (unlikely(thread->exec_slot))
		end_exec(task, thread);
	if (!thread->target)
		return 0;
	if (thread->in_call) {
		struct sf_record *record = ringbuf_reserve(&ring, sizeof(*record), 0);
		if (record) {
			fill(record, task, SF_SYSCALL, thread->target);
			record->abi = thread->abi;
			record->flags = SF_NEVER_RETURNED;
			record->enter = thread->enter;
			record->nr = thread->nr;
			for (int i = 0; i < 6; i++)
				record->args[i] = thread->args[i];
			ringbuf_submit(record, BPF_RB_NO_WAKEUP);
		} else {
			count_drop(SF_DROP_SYSCALL);
		}
		thread->in_call = 0;
	}
	small_record(task, SF_EXIT, thread->target, (u32)task->exit_code, task->signal->live.counter == 0, 0);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int process_attach(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[2];
	struct thread *thread;
	u32 target;
	if (group_mode != SF_GROUP_CGROUP2 || task->tgid == self_tgid)
		return 0;
	target = target_by_group(task);
	thread = member(task);
	if (thread && thread->by_tree)
		return 0;
	if (!target) {
		if (thread)
			thread->target = 0;
	} else {
		thread = task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (thread)
			thread->target = target;
	}
	if ((target || thread) && task->signal->nr_threads > 1)
		small_record(current_task(), SF_RESCAN, 0, task->tgid, 0, 0);
	return 0;
}

#include "signals.h"
#include "uring.h"

/* ---- walks over all tasks ---- */

/* Makes entries for tasks that belong and have none; writes one byte for each, so user space can count them. */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *thread;
	u32 target, tgid, *of_tree;
	u8 by_tree = 0, one = 1;
	if (!task || task->flags & PF_KTHREAD || task->tgid == self_tgid)
		return 0;
	thread = task_storage_get(&threads, task, 0, 0);
	target = target_by_group(task);
	if (!target) {
		tgid = task->tgid;
		of_tree = map_lookup(&tree_members, &tgid);
		if (!of_tree) {
			u32 ppid = task->real_parent->tgid;
			of_tree = map_lookup(&tree_members, &ppid);
		}
		if (of_tree) {
			target = *of_tree;
			by_tree = 1;
			map_update(&tree_members, &tgid, &target, BPF_ANY);
		}
	}
	if (thread) {
		if (thread->target == target || thread->by_tree)
			return 0;
		thread->target = target;
		thread->by_tree = by_tree;
	} else if (target) {
		thread = task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!thread)
			return 0;
		thread->by_tree = by_tree;
		thread->target = target;
	} else {
		return 0;
	}
	seq_write(ctx->meta->seq, &one, sizeof(one));
	return 0;
}

/* Writes a struct sf_open_call for every thread of a target that is inside a call. */
SEC("iter/task")
int open_calls(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct sf_open_call call = {};
	struct thread *thread;
	if (!task)
		return 0;
	thread = task_storage_get(&threads, task, 0, 0);
	if (!thread || !thread->target)
		return 0;
	if (thread->in_call) {
		call.enter = thread->enter;
		call.nr = thread->nr;
		call.abi = thread->abi;
		for (int i = 0; i < 6; i++)
			call.args[i] = thread->args[i];
	} else {
		struct pt_regs *regs;
		if ((watches_entries && thread->known) || task->__state == 0)
			return 0;
		/*
		 * It sleeps since before capture looked: in a call, or in a fault. The SYSCALL instruction leaves
		 * the return address in rcx and the flags in r11, which tells the two apart.
		 */
		regs = task_pt_regs(task);
		call.abi = abi_of(task);
		if ((s64)regs->orig_ax < 0 || (!call.abi && (regs->cx != regs->ip || regs->r11 != regs->flags)))
			return 0;
		call.nr = regs->orig_ax;
		read_args(call.args, regs, call.abi);
	}
	call.target = thread->target;
	call.tgid = task->tgid;
	call.tid = task->pid;
	read_kernel(call.comm, sizeof(call.comm), task->comm);
	seq_write(ctx->meta->seq, &call, sizeof(call));
	return 0;
}
