/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * Signals and OOM kills. A part of syscalls.bpf.c: the same threads, ring and counters.
 *
 * Arguments that the kernel may pass as 0 or 1 in place of a pointer are copied out of the context as numbers: the
 * verifier takes a typed argument for a pointer that is never null, and leaves out whatever tests for it.
 */

#define SIGKILL 9
#define SIGSTOP 19
/* A signal's bit; signals of the kernel's masks are all below 32. */
#define BIT(signal) (1u << ((signal) - 1))
/* SIGCONT, SIGCHLD, SIGWINCH, SIGURG; SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU: include/linux/signal.h. */
#define IGNORED_BY_DEFAULT (BIT(18) | BIT(17) | BIT(28) | BIT(23))
#define STOPS_BY_DEFAULT (BIT(19) | BIT(20) | BIT(21) | BIT(22))

#define SI_USER 0
#define SI_KERNEL 128
#define SI_QUEUE -1
#define SI_TKILL -6

/* A record, the name of whoever sent it, and the siginfo. */
struct signal_record {
	struct sf_record record;
	struct sf_capture name;
	u8 comm[16];
	struct sf_capture info;
	u8 siginfo[SF_SIGINFO];
};

struct oom_record {
	struct sf_record record;
	struct sf_capture name;
	u8 comm[16];
};

INLINE u64 argument(u64 *ctx, u32 index)
{
	u64 value = 0;
	read_kernel(&value, sizeof(value), ctx + index);
	return value;
}

INLINE void small_capture(struct sf_capture *capture, u8 arg, u32 len)
{
	capture->arg = arg;
	capture->kind = SF_KIND_STRUCT;
	capture->when = SF_AT_ENTRY;
	capture->status = SF_WHOLE;
	capture->len = len;
	capture->original = 0;
}

/* `info` is 0 (SEND_SIG_NOINFO: as if a process had sent it), 1 (SEND_SIG_PRIV: the kernel did), or an address. */
INLINE struct signal_record *signal_record(struct task_struct *task, u8 type, u32 target, u32 signal, u64 info)
{
	struct signal_record *r = ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		count_drop(SF_DROP_PROCESS);
		return 0;
	}
	fill(&r->record, task, type, target);
	r->record.nr = signal;
	for (int i = 0; i < 6; i++)
		r->record.args[i] = 0;
	small_capture(&r->name, 1, sizeof(r->comm));
	small_capture(&r->info, 0, SF_SIGINFO);
	r->record.capture_count = 1;
	r->record.data_len = sizeof(r->name) + sizeof(r->comm);
	if (info > 1 && !read_kernel(r->siginfo, SF_SIGINFO, (void *)info)) {
		r->record.args[0] = (s64) * (s32 *)(r->siginfo + 8);
		r->record.capture_count = 2;
		r->record.data_len += sizeof(r->info) + SF_SIGINFO;
	} else {
		r->record.args[0] = info == 1 ? SI_KERNEL : SI_USER;
	}
	return r;
}

/* kernel/signal.c, __send_signal_locked and send_sigqueue: at the end, after whoever is to die of it was marked. */
SEC("tp_btf/signal_generate")
int signal_generated(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[2];
	struct thread *thread = member(task);
	struct task_struct *sender;
	struct signal_record *r;
	u32 signal = ctx[0];
	s64 code;
	if (!thread)
		return 0;
	r = signal_record(task, SF_SIGNAL_GENERATED, thread->target, signal, argument(ctx, 1));
	if (!r)
		return 0;
	code = r->record.args[0];
	copy_comm(r->comm, current_task());
	/* Of these codes the sender runs now; others come from interrupts as well, in the middle of anybody. */
	if (code == SI_USER || code == SI_QUEUE || code == SI_TKILL) {
		struct thread *of_sender;
		sender = current_task();
		of_sender = member(sender);
		r->record.args[1] = (u64)(u32)sender->tgid << 32 | (u32)sender->pid;
		r->record.args[2] = of_sender ? of_sender->target : 0;
	}
	r->record.args[3] = (u32)ctx[4];
	r->record.args[4] = (u32)ctx[3] ? SF_SIGNAL_PROCESS : 0;
	/* complete_signal: it kills at once what has no handler, leaves no core, and isn't traced. */
	if ((u32)ctx[4] == 0 && task->signal->flags & SIGNAL_GROUP_EXIT && (u32)task->signal->group_exit_code == signal)
		r->record.args[4] |= SF_SIGNAL_FATAL;
	ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* kernel/signal.c, get_signal. */
SEC("tp_btf/signal_deliver")
int signal_delivered(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	struct k_sigaction *action = (struct k_sigaction *)ctx[2];
	struct signal_record *r;
	u32 signal = ctx[0];
	u64 info, handler;
	if (!thread)
		return 0;
	info = argument(ctx, 1);
	/*
	 * A thread of a process that ends, by whatever cause, exit_group and execve included, is shown a SIGKILL that
	 * nobody sent (5.1 and later).
	 */
	if (signal == SIGKILL && !info)
		return 0;
	r = signal_record(task, SF_SIGNAL_DELIVERED, thread->target, signal, info);
	if (!r)
		return 0;
	handler = (u64)action->sa.sa_handler;
	if (handler == 0) {
		u32 bit = signal < 32 ? BIT(signal & 31) : 0;
		r->record.args[3] = SF_ACTION_DEFAULT;
		/* The first process of a namespace dies of nothing but what its parent namespace sends with force. */
		if (!(bit & (IGNORED_BY_DEFAULT | STOPS_BY_DEFAULT)) &&
		    (signal == SIGKILL || !(task->signal->flags & SIGNAL_UNKILLABLE)))
			r->record.args[4] = SF_SIGNAL_FATAL;
	} else {
		r->record.args[3] = handler == 1 ? SF_ACTION_IGNORED : SF_ACTION_HANDLER;
	}
	ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* ---- the OOM killer ---- */

INLINE struct oom_record *oom_record(struct task_struct *victim, u32 target)
{
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	struct oom_record *r = ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		count_drop(SF_DROP_PROCESS);
		return 0;
	}
	fill(&r->record, victim, SF_OOM_KILL, target);
	r->record.args[0] = (u64)(u32)task->tgid << 32 | (u32)task->pid;
	r->record.args[1] = thread ? thread->target : 0;
	r->record.args[2] = r->record.args[3] = r->record.args[4] = r->record.args[5] = 0;
	r->record.ret = victim->signal->oom_score_adj;
	small_capture(&r->name, 1, sizeof(r->comm));
	copy_comm(r->comm, current_task());
	r->record.capture_count = 1;
	r->record.data_len = sizeof(*r) - sizeof(r->record);
	return r;
}

/* mm/oom_kill.c, mark_oom_victim. It hands over the task since 6.9, and in later 6.1 and 6.6; a number before. */
SEC("tp_btf/mark_victim")
int oom_victim(u64 *ctx)
{
	struct task_struct *victim = (struct task_struct *)ctx[0];
	struct thread *thread = member(victim);
	struct oom_record *r;
	if (!thread)
		return 0;
	r = oom_record(victim, thread->target);
	if (!r)
		return 0;
	/* The counters' common parts, which is what the tracepoint itself reads (get_mm_counter). */
	r->record.enter = 1;
	r->record.args[2] = victim->mm->total_vm;
	r->record.args[3] = victim->mm->rss_stat[1].count;
	r->record.args[4] = victim->mm->rss_stat[0].count;
	r->record.args[5] = victim->mm->rss_stat[3].count;
	ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* The same where those counters are of another kind (before 6.2). */
SEC("tp_btf/mark_victim")
int oom_victim_alone(u64 *ctx)
{
	struct task_struct *victim = (struct task_struct *)ctx[0];
	struct thread *thread = member(victim);
	struct oom_record *r;
	if (!thread)
		return 0;
	r = oom_record(victim, thread->target);
	if (r)
		ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}
