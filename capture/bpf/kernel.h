/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * The little of the kernel that the programs touch. Fields are found by CO-RE relocation: only their names and
 * types matter here, not their places. Helper numbers are include/uapi/linux/bpf.h's.
 */
#ifndef STILLFRAME_KERNEL_H
#define STILLFRAME_KERNEL_H

#include "record.h"

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define CORE __attribute__((preserve_access_index))
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Map definitions in BTF: an int is the size of an array, a type the type of a pointer. */
#define MAP_INT(name, value) int(*name)[value]
#define MAP_TYPE(name, type) type *name
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_MAP_TYPE_TASK_STORAGE 29
#define BPF_F_NO_PREALLOC 1
#define BPF_ANY 0
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#define BPF_RB_NO_WAKEUP 1

#define HELPER(number) = (void *)number
static void *(*const map_lookup)(void *map, const void *key) HELPER(1);
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) HELPER(2);
static long (*const map_delete)(void *map, const void *key) HELPER(3);
static u32 (*const smp_processor_id)(void) HELPER(8);
static u64 (*const current_pid_tgid)(void) HELPER(14);
static long (*const current_comm)(void *buffer, u32 size) HELPER(16);
static long (*const read_user)(void *to, u32 size, const void *from) HELPER(112);
static long (*const read_kernel)(void *to, u32 size, const void *from) HELPER(113);
static long (*const read_user_str)(void *to, u32 size, const void *from) HELPER(114);
static long (*const read_kernel_str)(void *to, u32 size, const void *from) HELPER(115);
static u64 (*const ktime_boot)(void) HELPER(125);
static long (*const seq_write)(void *seq, const void *data, u32 len) HELPER(127);
static long (*const ringbuf_output)(void *ring, void *data, u64 size, u64 flags) HELPER(130);
static void *(*const ringbuf_reserve)(void *ring, u64 size, u64 flags) HELPER(131);
static void (*const ringbuf_submit)(void *data, u64 flags) HELPER(132);
static void *(*const task_storage_get)(void *map, void *task, void *value, u64 flags) HELPER(156);
static long (*const task_storage_delete)(void *map, void *task) HELPER(157);
static struct task_struct *(*const current_task)(void) HELPER(158);
static struct pt_regs *(*const task_pt_regs)(struct task_struct *task) HELPER(175);

#define PF_KTHREAD 0x00200000
#define TS_COMPAT 2

struct pt_regs {
	unsigned long bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, flags;
} CORE;

struct thread_info {
	u32 status;
} CORE;

struct kernfs_node {
	u64 id;
} CORE;

struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} CORE;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
} CORE;

struct css_set {
	struct cgroup *dfl_cgrp;
} CORE;

struct ns_common {
	unsigned int inum;
} CORE;

struct pid_namespace {
	struct ns_common ns;
} CORE;

struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
} CORE;

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
	short oom_score_adj;
} CORE;

#define SIGNAL_GROUP_EXIT 0x4
#define SIGNAL_UNKILLABLE 0x40

struct sigaction {
	void *sa_handler;
} CORE;

struct k_sigaction {
	struct sigaction sa;
} CORE;

struct percpu_counter {
	s64 count;
} CORE;

struct mm_struct {
	unsigned long arg_start, arg_end, total_vm;
	struct percpu_counter rss_stat[4]; /* before 6.2 another type: only programs for later kernels read it */
} CORE;

struct bpf_local_storage;
struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	int exit_code;
	int pid;
	int tgid;
	char comm[16];
	struct task_struct *real_parent, *group_leader;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct bpf_local_storage *bpf_storage;
} CORE;

/* include/uapi/linux/io_uring.h */
#define IORING_CQE_F_NOTIF 8

struct io_uring_sqe {
	u8 opcode, flags;
	s32 fd;
} CORE;

struct io_uring_cqe {
	u64 user_data;
	s32 res;
	u32 flags;
} CORE;

struct io_cqe {
	u64 user_data;
	s32 fd;
} CORE;

struct io_ring_ctx;
struct io_kiocb {
	u8 opcode;
	u32 flags; /* 64 bits since 6.8 */
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
} CORE;

struct linux_binprm {
	const char *filename;
} CORE;

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CORE;

#endif
