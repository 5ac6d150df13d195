/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only */
/*
 * What the BPF programs and user space agree on: the records of the rings, and the values of the maps.
 *
 * This file is the single truth. Every offset and size stands in a _Static_assert, which the compiler checks here
 * and which the tests of the Rust decoders read and compare with their own constants.
 * All numbers are in the byte order of the host; every record starts on an 8-byte boundary.
 */
#ifndef STILLFRAME_RECORD_H
#define STILLFRAME_RECORD_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SF_OFFSET(type, field, at) _Static_assert(__builtin_offsetof(struct type, field) == at, #type "." #field)
#define SF_SIZE(type, size) _Static_assert(sizeof(struct type) == size, #type)

/* sf_record.type */
#define SF_SYSCALL 1
#define SF_FORK 2   /* args[0] child tgid, args[1] child tid, args[2] child's target */
#define SF_EXEC 3   /* args[0] thread id before the call; captures: filename (arg 0), argv (arg 1) */
#define SF_EXIT 4   /* args[0] exit code as wait(2) shows it, args[1] last thread of its process */
#define SF_RESCAN 5 /* a process with many threads joined a target's cgroup: walk the tasks again */

/*
 * SF_SIGNAL_GENERATED and SF_SIGNAL_DELIVERED, of the thread that it is for: nr the signal's number, args[0] si_code,
 * args[1] the sender, process id above thread id (0: not known), args[2] the sender's target, args[3] what became of it
 * (generated: the kernel's TRACE_SIGNAL_..., delivered: SF_ACTION_...), args[4] SF_SIGNAL_... bits; captures: the sender's
 * comm (arg 1), then the first SF_SIGINFO bytes of the siginfo (arg 0) where the kernel has one.
 */
#define SF_SIGNAL_GENERATED 6
#define SF_SIGNAL_DELIVERED 7
/*
 * The OOM killer chose a victim. args[0] the thread that ran into the limit, process id above thread id, args[1] its
 * target, args[2] pages of address space, args[3] of anonymous memory, args[4] of files, args[5] of shared memory, enter
 * is 1 when the pages are known, ret oom_score_adj; captures: the comm of the thread that ran into the limit (arg 1).
 */
#define SF_OOM_KILL 8
/*
 * Requests of io_uring: args[0] the ring, args[1] user_data, args[2] IOSQE_... or IORING_CQE_F_..., nr 0 or 1 + IORING_OP_...
 * Submitted: args[3] the descriptor, of operations that have one. Completed: ret the result, enter when it was submitted,
 * 0 when not known.
 */
#define SF_URING_SUBMIT 9
#define SF_URING_COMPLETE 10
#define SF_URING_OVERFLOW 11

/* sf_record.flags */
#define SF_NEVER_RETURNED 1
#define SF_ENTRY_UNSEEN 2

/* What a thread does about a signal that is delivered. */
#define SF_ACTION_UNKNOWN 0
#define SF_ACTION_HANDLER 1
#define SF_ACTION_DEFAULT 2
#define SF_ACTION_IGNORED 3

/* args[4] of a signal's record */
#define SF_SIGNAL_FATAL 1   /* the process dies of it */
#define SF_SIGNAL_PROCESS 2 /* it was sent to the process, not to one thread */

/* How much of a siginfo is copied: all that the kernel fills (struct kernel_siginfo). */
#define SF_SIGINFO 48

/* The fixed part of every record of the syscalls ring; `data_len` bytes of captures follow. */
struct sf_record {
	u8 type;
	u8 abi;
	u8 flags;
	u8 capture_count;
	u16 cpu;
	u16 reserved;
	u64 time;  /* CLOCK_BOOTTIME */
	u64 enter; /* CLOCK_BOOTTIME; 0 when not seen */
	u64 args[6];
	s64 ret;
	u32 nr;
	u32 target; /* index + 1 into the targets of user space; 0 for none */
	u32 tgid;
	u32 tid;
	u8 comm[16];
	u32 data_len;
	u32 sequence; /* reserved */
};
SF_OFFSET(sf_record, type, 0);
SF_OFFSET(sf_record, abi, 1);
SF_OFFSET(sf_record, flags, 2);
SF_OFFSET(sf_record, capture_count, 3);
SF_OFFSET(sf_record, cpu, 4);
SF_OFFSET(sf_record, time, 8);
SF_OFFSET(sf_record, enter, 16);
SF_OFFSET(sf_record, args, 24);
SF_OFFSET(sf_record, ret, 72);
SF_OFFSET(sf_record, nr, 80);
SF_OFFSET(sf_record, target, 84);
SF_OFFSET(sf_record, tgid, 88);
SF_OFFSET(sf_record, tid, 92);
SF_OFFSET(sf_record, comm, 96);
SF_OFFSET(sf_record, data_len, 112);
SF_SIZE(sf_record, 120);

/* Header of a capture; `len` bytes follow, then padding to 8. kind, when and status are stillframe_format's. */
struct sf_capture {
	u8 arg;
	u8 kind;
	u8 when;
	u8 status;
	u32 len;
	u64 original;
};
SF_OFFSET(sf_capture, arg, 0);
SF_OFFSET(sf_capture, kind, 1);
SF_OFFSET(sf_capture, when, 2);
SF_OFFSET(sf_capture, status, 3);
SF_OFFSET(sf_capture, len, 4);
SF_OFFSET(sf_capture, original, 8);
SF_SIZE(sf_capture, 16);

/* sf_capture.kind */
#define SF_KIND_PATH 0
#define SF_KIND_SOCKADDR 1
#define SF_KIND_BUFFER 2
#define SF_KIND_PAIR 3
#define SF_KIND_STRINGS 4
#define SF_KIND_STRUCT 5

/* sf_capture.status */
#define SF_WHOLE 0
#define SF_TRUNCATED 1
#define SF_FAILED 2

/* sf_capture.when */
#define SF_AT_ENTRY 0
#define SF_AT_EXIT 1

/* sf_op.op: how the memory behind an argument is found. */
#define SF_OP_STRING 1       /* NUL-terminated */
#define SF_OP_SOCKADDR 2     /* `len`: the argument that holds the length */
#define SF_OP_SOCKADDR_OUT 3 /* `len`: the argument that points to the length */
#define SF_OP_BUFFER 4       /* `len`: the argument that holds the length */
#define SF_OP_BUFFER_RET 5   /* as long as the result says */
#define SF_OP_IOVEC 6        /* `len`: the argument that holds the number of segments */
#define SF_OP_IOVEC_RET 7    /* the same, together as long as the result says */
#define SF_OP_MSG_NAME 8     /* msg_name of a struct msghdr */
#define SF_OP_MSG_DATA 9     /* msg_iov of a struct msghdr */
#define SF_OP_MSG_DATA_RET 10
#define SF_OP_FIXED 11 /* `len`: the number of bytes */
#define SF_OP_EXEC_NAME 12
#define SF_OP_EXEC_ARGV 13
#define SF_OP_EXEC_ENVP 14   /* how many strings, as a u32 */
#define SF_OP_ARRAY 15       /* `len`: the argument that holds the count (6: the result), and 8 times a quarter of an element's size */
#define SF_OP_BITS 16        /* `len`: the argument that holds the number of bits */
#define SF_OP_MSG 17         /* a struct msghdr, then its iovecs, at most SF_MSG_IOVECS, then its control bytes */
#define SF_OP_BUFFER_PTR 18  /* `len`: the argument that points to the length, a u32 */
#define SF_OP_FUTEX 19       /* the timeout of a futex operation that has one */
#define SF_OP_FCNTL 20       /* the struct flock of a command that takes one */
#define SF_OP_IOCTL 21       /* as long as the request says */
/* or-ed to it: only when the call did not fail */
#define SF_OP_IF_OK 0x80

struct sf_op {
	u8 op;
	u8 arg;
	u8 len;
	u8 kind;
};
SF_SIZE(sf_op, 4);

#define SF_OPS 7
struct sf_rule {
	struct sf_op ops[SF_OPS];
	u16 count;
	u16 limit; /* bytes of data that are copied, at most SF_DATA_MAX */
};
SF_OFFSET(sf_rule, count, 28);
SF_OFFSET(sf_rule, limit, 30);
SF_SIZE(sf_rule, 32);

/* Calls of one table that can have a rule: numbers 0 to 511; i386 follows x86-64 in the map. */
#define SF_RULES 512

/* Longest that is ever copied, in bytes. */
#define SF_PATH_MAX 4096
#define SF_DATA_MAX 4096
#define SF_SOCKADDR_MAX 128
#define SF_FIXED_MAX 256
#define SF_ARRAY_MAX 512
#define SF_MSG_IOVECS 8
#define SF_CONTROL_MAX 128
#define SF_ARGV_MAX 3840
#define SF_ARGV_STRINGS 128
#define SF_ENVP_STRINGS 512

/* sf_group.mode: what the keys of the `groups` map are. */
#define SF_GROUP_CGROUP2 1 /* id of a cgroup2 folder, whose descendants belong too */
#define SF_GROUP_PIDNS 2   /* inode number of a pid namespace */

/* Indexes of the `drops` map (one counter a CPU). */
#define SF_DROP_SYSCALL 0
#define SF_DROP_PROCESS 1
#define SF_DROP_URING 2
#define SF_DROPS 3

/* What the iterator over calls in flight writes for each. */
struct sf_open_call {
	u64 enter; /* 0 when not seen */
	u64 args[6];
	u32 nr;
	u32 target;
	u32 tgid;
	u32 tid;
	u8 comm[16];
	u8 abi;
	u8 reserved[7];
};
SF_OFFSET(sf_open_call, enter, 0);
SF_OFFSET(sf_open_call, args, 8);
SF_OFFSET(sf_open_call, nr, 56);
SF_OFFSET(sf_open_call, target, 60);
SF_OFFSET(sf_open_call, tgid, 64);
SF_OFFSET(sf_open_call, tid, 68);
SF_OFFSET(sf_open_call, comm, 72);
SF_OFFSET(sf_open_call, abi, 88);
SF_SIZE(sf_open_call, 96);

/* ---- the ring of block requests ---- */

/* sf_block.action */
#define SF_BLOCK_QUEUE 0
#define SF_BLOCK_ISSUE 1
#define SF_BLOCK_COMPLETE 2

/* sf_block.owner */
#define SF_OWNER_PAGE 0
#define SF_OWNER_BIO 1
#define SF_OWNER_TASK 2
#define SF_OWNER_UNKNOWN 3

/* sf_block.latency when it is not known. */
#define SF_NO_LATENCY 0xffffffffffffffff

struct sf_block {
	u8 action;
	u8 owner;
	u16 cpu;
	u32 major; /* of the whole disk */
	u64 time;  /* CLOCK_BOOTTIME */
	u64 sector;
	u64 request; /* address of the struct request; 0 for a bio */
	u64 inode;   /* 0 when not known */
	u64 latency;
	u64 cmd_flags;
	u32 minor;
	u32 bytes;
	s32 error;  /* negative: an errno (before 5.16); positive: a blk_status_t */
	u32 target; /* the owner, index + 1; 0 for none */
	u32 task_target;
	u32 tgid;
	u32 tid;
	u32 reserved;
	u8 comm[16];
};
SF_OFFSET(sf_block, action, 0);
SF_OFFSET(sf_block, owner, 1);
SF_OFFSET(sf_block, cpu, 2);
SF_OFFSET(sf_block, major, 4);
SF_OFFSET(sf_block, time, 8);
SF_OFFSET(sf_block, sector, 16);
SF_OFFSET(sf_block, request, 24);
SF_OFFSET(sf_block, inode, 32);
SF_OFFSET(sf_block, latency, 40);
SF_OFFSET(sf_block, cmd_flags, 48);
SF_OFFSET(sf_block, minor, 56);
SF_OFFSET(sf_block, bytes, 60);
SF_OFFSET(sf_block, error, 64);
SF_OFFSET(sf_block, target, 68);
SF_OFFSET(sf_block, task_target, 72);
SF_OFFSET(sf_block, tgid, 76);
SF_OFFSET(sf_block, tid, 80);
SF_OFFSET(sf_block, comm, 88);
SF_SIZE(sf_block, 104);

/* A value of the block object's map `requests`: a request between issue and completion. */
struct sf_in_flight {
	u64 issued; /* CLOCK_BOOTTIME */
	u64 inode;
	u32 target; /* whose it is: index + 1, 0 for nobody's */
	u32 class;
	u32 device; /* major << 20 | minor */
	u32 op;     /* REQ_OP_..., include/linux/blk_types.h */
};
SF_OFFSET(sf_in_flight, issued, 0);
SF_OFFSET(sf_in_flight, inode, 8);
SF_OFFSET(sf_in_flight, target, 16);
SF_OFFSET(sf_in_flight, class, 20);
SF_OFFSET(sf_in_flight, device, 24);
SF_OFFSET(sf_in_flight, op, 28);
SF_SIZE(sf_in_flight, 32);

/* The hierarchy that the second half of a key of the block object's `groups` names: ids of version 1 hierarchies overlap. */
#define SF_HIERARCHY_MEMORY 0
#define SF_HIERARCHY_BLOCK 1
#define SF_HIERARCHY_UNIFIED 2

/* Indexes of the `counters` map of the block object (one counter a CPU). */
#define SF_BLOCK_LOST 0
#define SF_BLOCK_NEIGHBOUR_REQUESTS 1
#define SF_BLOCK_NEIGHBOUR_BYTES 2
#define SF_BLOCK_UNTRACKED 3
#define SF_BLOCK_UNSEEN 4 /* completions that no program was run for */
#define SF_BLOCK_COUNTERS 5

#endif
