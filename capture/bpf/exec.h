/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * What a call was given that replaces the program: read at its entry, kept until it returns, since by then the memory that
 * held it is gone. A part of syscalls.bpf.c.
 */

/* What an execve was given, read while the old memory is there. */
struct exec_name {
	u32 len;
	u32 status;
	u64 original;
	u32 argv_len;
	u32 argv_status;
	u32 envp_count;
	u32 envp_status;
	char bytes[SF_PATH_MAX + 8];
	char argv[SF_ARGV_MAX];
};

/*
 * Room for the execs under way. Task storage would do, and does when every slot is taken; but its allocator keeps one to
 * three pieces of that size at hand, and for almost each exec interrupts its own processor to get another
 * (kernel/bpf/memalloc.c, unit_alloc, 6.18). On a virtual machine that is 30 us, more than all else that is done here
 * for a short process.
 */
#define EXEC_SLOTS 64

struct exec_slot {
	u64 taken;
	struct exec_name name;
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_ARRAY);
	MAP_INT(max_entries, EXEC_SLOTS);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct exec_slot);
} exec_slots SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_TASK_STORAGE);
	MAP_INT(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct exec_name);
} exec_names SEC(".maps");

INLINE long read_pointer(struct scratch *s, u64 from, u32 index, u64 *pointer)
{
	*pointer = 0;
	return s->compat ? read_user(pointer, 4, (void *)(from + index * 4)) :
			   read_user(pointer, 8, (void *)(from + index * 8));
}

/*
 * An array of pointers to strings: the strings, each with its NUL, at `s->off`.
 *
 * The loop ends in its counter's comparison: a body that falls through into its own head is refused by Linux 6.1
 * ("back-edge", push_insn in kernel/bpf/verifier.c: only a jump may go back).
 */
__attribute__((noinline)) int gather(struct scratch *s, u64 from)
{
	u32 at = 0, i;
	u64 string;
	if (!s)
		return 0;
	s->list_len = 0;
	s->list_status = SF_WHOLE;
	for (i = 0; i < SF_ARGV_STRINGS; i++) {
		u32 room = bounded(SF_ARGV_MAX - at, SF_ARGV_MAX);
		long n;
		if (read_pointer(s, from, i, &string)) {
			s->list_status = at ? SF_TRUNCATED : SF_FAILED;
			goto out;
		}
		if (!string)
			goto out;
		if (room < 2 || at >= SF_ARGV_MAX) {
			s->list_status = SF_TRUNCATED;
			goto out;
		}
		n = read_user_str(AT(s, s->off) + (at & 4095), room, (void *)string);
		if (n < 0) {
			s->list_status = at ? SF_TRUNCATED : SF_FAILED;
			goto out;
		}
		/* One that fills the room has lost its end: it stands without its NUL. */
		if (n >= room) {
			at += room - 1;
			s->list_status = SF_TRUNCATED;
			goto out;
		}
		at += n;
	}
	/* As many strings as are kept: is there one more? */
	if (read_pointer(s, from, SF_ARGV_STRINGS, &string) || string)
		s->list_status = SF_TRUNCATED;
out:
	s->list_len = bounded(at, SF_ARGV_MAX);
	return 0;
}

/* How many pointers an array holds before its null pointer; SF_ENVP_STRINGS when there are more. */
__attribute__((noinline)) int count_pointers(struct scratch *s, u64 from)
{
	if (!s)
		return 0;
	s->list_status = SF_WHOLE;
	for (u32 i = 0; i < SF_ENVP_STRINGS; i++) {
		u64 string;
		if (read_pointer(s, from, i, &string)) {
			s->list_status = SF_FAILED;
			return 0;
		}
		if (!string)
			return i;
	}
	s->list_status = SF_TRUNCATED;
	return SF_ENVP_STRINGS;
}

/* The index into `rules` of a call that replaces the program: its file name can only be read at entry. */
INLINE int is_exec(u32 nr, u8 abi)
{
	return abi ? nr == 11 || nr == 358 : nr == 59 || nr == 322;
}

INLINE void exec_lists(struct exec_name *name, u64 argv, u64 envp, u8 compat)
{
	u32 zero = 0, len;
	struct scratch *s = map_lookup(&scratches, &zero);
	name->argv_len = name->envp_count = 0;
	name->argv_status = name->envp_status = SF_FAILED;
	if (!s)
		return;
	s->compat = compat;
	s->off = 0;
	gather(s, argv);
	len = bounded(s->list_len, SF_ARGV_MAX);
	name->argv_len = len;
	name->argv_status = s->list_status;
	if (len > 0)
		read_kernel(name->argv, len, AT(s, 0));
	if (envp) {
		name->envp_count = count_pointers(s, envp);
		name->envp_status = s->list_status;
	}
}

/* A free slot, from 1, which is the caller's from here on; 0 when there is none. */
__attribute__((noinline)) int take_exec_slot(u32 from)
{
	for (u32 i = 0; i < EXEC_SLOTS; i++) {
		u32 index = (from + i) % EXEC_SLOTS;
		struct exec_slot *slot = map_lookup(&exec_slots, &index);
		if (slot && !slot->taken && !__sync_val_compare_and_swap(&slot->taken, 0, 1))
			return index + 1;
	}
	return 0;
}

INLINE struct exec_slot *exec_slot_of(struct thread *thread)
{
	u32 index = thread->exec_slot - 1;
	return thread->exec_slot ? map_lookup(&exec_slots, &index) : 0;
}

/* What the thread's exec was given, if its entry was seen. */
INLINE struct exec_name *exec_name_of(struct task_struct *task, struct thread *thread)
{
	struct exec_slot *slot = exec_slot_of(thread);
	return slot ? &slot->name : task_storage_get(&exec_names, task, 0, 0);
}

INLINE struct exec_name *begin_exec(struct task_struct *task, struct thread *thread)
{
	struct exec_slot *slot;
	if (!thread->exec_slot)
		thread->exec_slot = take_exec_slot(smp_processor_id() * 8);
	slot = exec_slot_of(thread);
	return slot ? &slot->name : task_storage_get(&exec_names, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

INLINE void end_exec(struct task_struct *task, struct thread *thread)
{
	struct exec_slot *slot = exec_slot_of(thread);
	if (slot)
		slot->taken = 0;
	else
		task_storage_delete(&exec_names, task);
	thread->exec_slot = 0;
}

INLINE void capture_exec_name(struct scratch *s, struct exec_name *name, u8 arg)
{
	u32 off = s->off;
	u32 len;
	if (!name)
		return;
	len = bounded(name->len, SF_PATH_MAX);
	if (name->status == SF_FAILED && s->ret < 0) {
		/* The old memory is still there, and the kernel has read it since. */
		capture_string(s, arg, SF_KIND_PATH, s->args[arg & 7]);
	} else {
		if (len > 0)
			read_kernel(AT(s, off), len, name->bytes);
		capture_header(s, off, arg, SF_KIND_PATH, SF_AT_ENTRY, name->status, len, name->original);
	}
}

INLINE void capture_exec_argv(struct scratch *s, struct task_struct *task, struct exec_name *name, u8 arg)
{
	u32 off = s->off, len;
	if (!name || !s->args[arg & 7])
		return;
	if (name->argv_status == SF_FAILED && s->ret >= 0) {
		/* Its pages were not there at entry. The program has them at its start, unless it is a script. */
		u64 start = task->mm->arg_start, end = task->mm->arg_end;
		capture_bytes(s, arg, SF_KIND_STRINGS, start, end > start ? end - start : 0, SF_ARGV_MAX);
		return;
	}
	len = bounded(name->argv_len, SF_ARGV_MAX);
	if (len > 0)
		read_kernel(AT(s, off), len, name->argv);
	capture_header(s, off, arg, SF_KIND_STRINGS, SF_AT_ENTRY, name->argv_status, len,
		       name->argv_status == SF_FAILED ? EFAULT : 0);
}

/* Values of the environment are not copied: only how many there are. */
INLINE void capture_exec_envp(struct scratch *s, struct exec_name *name, u8 arg)
{
	u32 off = s->off;
	if (!name || !s->args[arg & 7])
		return;
	*(u32 *)AT(s, off) = name->envp_count;
	if (name->envp_status == SF_FAILED)
		capture_header(s, off, arg, SF_KIND_STRUCT, SF_AT_ENTRY, SF_FAILED, 0, EFAULT);
	else
		capture_header(s, off, arg, SF_KIND_STRUCT, SF_AT_ENTRY, name->envp_status, 4, 0);
}
