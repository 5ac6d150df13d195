/*
 * Asks of io_uring what a server would, without a library, and says what it asked and what it got:
 *
 *   submitted CASE USER_DATA OPCODE FD     for each entry that it put into the ring
 *   done CASE USER_DATA RESULT FLAGS       for each completion that it took out
 *
 * `rings FOLDER CASE...` runs the cases; `rings FOLDER` all but those that only some may (sqpoll).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *now; /* the case */
static char file[4096], missing[4096];

struct ring {
	int fd;
	unsigned setup;
	_Atomic unsigned *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
	unsigned sq_mask, cq_mask, *array, waiting;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static void die(const char *what)
{
	printf("failed %s %s %s\n", now, what, strerror(errno));
	fflush(stdout);
	exit(9);
}

static struct ring make(unsigned entries, unsigned flags, unsigned cq_entries)
{
	struct io_uring_params p;
	struct ring r;
	char *base;
	memset(&p, 0, sizeof(p));
	p.flags = flags | (cq_entries ? IORING_SETUP_CQSIZE : 0);
	p.cq_entries = cq_entries;
	p.sq_thread_idle = 50;
	r.setup = flags;
	r.waiting = 0;
	r.fd = syscall(SYS_io_uring_setup, entries, &p);
	if (r.fd < 0)
		die("io_uring_setup");
	if (!(p.features & IORING_FEAT_SINGLE_MMAP))
		die("an old kernel");
	size_t sq = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	size_t cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	base = mmap(0, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r.fd, IORING_OFF_SQ_RING);
	r.sqes = mmap(0, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		      r.fd, IORING_OFF_SQES);
	if (base == MAP_FAILED || (void *)r.sqes == MAP_FAILED)
		die("mmap");
	r.sq_head = (void *)(base + p.sq_off.head);
	r.sq_tail = (void *)(base + p.sq_off.tail);
	r.sq_flags = (void *)(base + p.sq_off.flags);
	r.sq_mask = *(unsigned *)(base + p.sq_off.ring_mask);
	r.array = (void *)(base + p.sq_off.array);
	r.cq_head = (void *)(base + p.cq_off.head);
	r.cq_tail = (void *)(base + p.cq_off.tail);
	r.cq_mask = *(unsigned *)(base + p.cq_off.ring_mask);
	r.cqes = (void *)(base + p.cq_off.cqes);
	return r;
}

static struct io_uring_sqe *ask(struct ring *r, int opcode, int fd, const void *at, unsigned len, uint64_t user_data)
{
	unsigned tail = *r->sq_tail, index = tail & r->sq_mask;
	struct io_uring_sqe *sqe = &r->sqes[index];
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)at;
	sqe->len = len;
	sqe->user_data = user_data;
	r->array[index] = index;
	atomic_store_explicit(r->sq_tail, tail + 1, memory_order_release);
	r->waiting++;
	printf("submitted %s %#llx %d %d\n", now, (unsigned long long)user_data, opcode, fd);
	return sqe;
}

static void take(struct ring *r)
{
	while (*r->cq_head != atomic_load_explicit(r->cq_tail, memory_order_acquire)) {
		struct io_uring_cqe *cqe = &r->cqes[*r->cq_head & r->cq_mask];
		printf("done %s %#llx %d %u\n", now, (unsigned long long)cqe->user_data, cqe->res, cqe->flags);
		atomic_store_explicit(r->cq_head, *r->cq_head + 1, memory_order_release);
	}
}

/* Submits what was asked, waits for `number` completions, takes all that are there. */
static void enter(struct ring *r, unsigned number)
{
	unsigned flags = number ? IORING_ENTER_GETEVENTS : 0, asked = r->waiting;
	long done;
	if (r->setup & IORING_SETUP_SQPOLL) {
		atomic_thread_fence(memory_order_seq_cst);
		flags |= *r->sq_flags & IORING_SQ_NEED_WAKEUP ? IORING_ENTER_SQ_WAKEUP : 0;
	}
	do
		done = syscall(SYS_io_uring_enter, r->fd, r->waiting, number, flags, 0, 0);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		die("io_uring_enter");
	if (!(r->setup & IORING_SETUP_SQPOLL) && done != asked)
		die("not all were submitted");
	r->waiting = 0;
	take(r);
}

/* A file is opened, read, and closed by the ring; what is missing stays so. */
static void files(void)
{
	static char buffer[4096];
	struct ring r = make(8, 0, 0);
	int fd = open(file, O_RDONLY);
	struct iovec part = { buffer, 512 };
	if (fd < 0)
		die("open");
	ask(&r, IORING_OP_READ, fd, buffer, sizeof(buffer), 0x101);
	enter(&r, 1);
	ask(&r, IORING_OP_READV, fd, &part, 1, 0x102);
	enter(&r, 1);
	ask(&r, IORING_OP_OPENAT, AT_FDCWD, missing, 0, 0x103)->open_flags = O_RDONLY;
	enter(&r, 1);
	ask(&r, IORING_OP_READ, -1, buffer, 1, 0x104);
	enter(&r, 1);
	if (syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_FILES, &fd, 1))
		die("io_uring_register");
	ask(&r, IORING_OP_READ, 0, buffer, 100, 0x105)->flags = IOSQE_FIXED_FILE;
	enter(&r, 1);
	close(fd);
	/* The ring gives the number anew: what is behind it, its name would not tell. */
	ask(&r, IORING_OP_OPENAT, AT_FDCWD, "/dev/zero", 0, 0x106)->open_flags = O_RDONLY;
	enter(&r, 1);
	ask(&r, IORING_OP_READ, fd, buffer, 64, 0x107);
	enter(&r, 1);
	ask(&r, IORING_OP_CLOSE, fd, 0, 0, 0x108);
	enter(&r, 1);
	close(r.fd);
}

/* Several in one call; one of them says nothing when it succeeds. */
static void batch(void)
{
	struct ring r = make(16, 0, 0);
	for (int i = 0; i < 8; i++)
		ask(&r, IORING_OP_NOP, -1, 0, 0, 0x200 + i);
	enter(&r, 8);
	ask(&r, IORING_OP_NOP, -1, 0, 0, 0x210)->flags = IOSQE_CQE_SKIP_SUCCESS;
	ask(&r, IORING_OP_NOP, -1, 0, 0, 0x211)->flags = IOSQE_ASYNC;
	enter(&r, 1);
	close(r.fd);
}

/* What is wrong at first sight. */
static void refused(void)
{
	struct ring r = make(4, 0, 0);
	ask(&r, 250, 77, 0, 0, 0x301);
	enter(&r, 1);
	ask(&r, IORING_OP_NOP, -1, 0, 0, 0x302)->flags = 0x80;
	enter(&r, 1);
	close(r.fd);
}

static void *later(void *fd)
{
	usleep(50000);
	if (write(*(int *)fd, "abcdefgh", 8) != 8)
		die("write");
	return 0;
}

/* Done when somebody else does something. */
static void waiting(void)
{
	struct ring r = make(4, 0, 0);
	pthread_t other;
	int ends[2], status;
	if (pipe(ends))
		die("pipe");
	ask(&r, IORING_OP_POLL_ADD, ends[0], 0, 0, 0x401)->poll32_events = POLLIN;
	enter(&r, 0);
	pthread_create(&other, 0, later, &ends[1]);
	enter(&r, 1);
	pthread_join(other, 0);
	/* The same of another process. */
	char sink[8];
	if (read(ends[0], sink, 8) != 8)
		die("read");
	ask(&r, IORING_OP_READ, ends[0], sink, 8, 0x402);
	enter(&r, 0);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		later(&ends[1]);
		_exit(0);
	}
	enter(&r, 1);
	waitpid(child, &status, 0);
	close(r.fd);
}

/* One request, several completions. */
static void several(void)
{
	struct ring r = make(4, 0, 0);
	struct io_uring_sqe *sqe;
	int fd = eventfd(0, 0);
	uint64_t one = 1;
	sqe = ask(&r, IORING_OP_POLL_ADD, fd, 0, IORING_POLL_ADD_MULTI, 0x501);
	sqe->poll32_events = POLLIN;
	enter(&r, 0);
	for (int i = 0; i < 3; i++) {
		if (write(fd, &one, 8) != 8)
			die("write");
		enter(&r, 1);
	}
	ask(&r, IORING_OP_ASYNC_CANCEL, -1, (void *)0x501, 0, 0x502);
	enter(&r, 2);
	close(r.fd);
}

/* More completions than there is room for. */
static void overflow(void)
{
	struct ring r = make(2, 0, 2);
	for (int turn = 0; turn < 3; turn++) {
		unsigned asked;
		ask(&r, IORING_OP_NOP, -1, 0, 0, 0x600 + 2 * turn);
		ask(&r, IORING_OP_NOP, -1, 0, 0, 0x601 + 2 * turn);
		asked = r.waiting;
		if (syscall(SYS_io_uring_enter, r.fd, asked, 0, 0, 0, 0) != asked)
			die("io_uring_enter");
		r.waiting = 0;
	}
	take(&r);
	enter(&r, 2);
	enter(&r, 2);
	close(r.fd);
}

/* The process ends, and its ring with it, while requests are in flight. */
static void torn(void)
{
	fflush(stdout);
	pid_t child = fork();
	int status;
	if (!child) {
		struct ring r = make(4, 0, 0);
		static char buffer[8];
		int ends[2];
		if (pipe(ends))
			die("pipe");
		ask(&r, IORING_OP_POLL_ADD, ends[0], 0, 0, 0x701)->poll32_events = POLLIN;
		ask(&r, IORING_OP_READ, ends[0], buffer, 8, 0x702);
		enter(&r, 0);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
}

/* The kernel's thread submits. */
static void sqpoll(void)
{
	static char buffer[64];
	struct ring r = make(8, IORING_SETUP_SQPOLL, 0);
	int fd = open(file, O_RDONLY);
	for (int i = 0; i < 4; i++)
		ask(&r, IORING_OP_NOP, -1, 0, 0, 0x800 + i);
	enter(&r, 4);
	ask(&r, IORING_OP_READ, fd, buffer, sizeof(buffer), 0x810);
	enter(&r, 1);
	close(fd);
	close(r.fd);
}

static const struct {
	const char *name;
	void (*run)(void);
	int always;
} cases[] = {
	{ "files", files, 1 },	   { "batch", batch, 1 },	{ "refused", refused, 1 }, { "waiting", waiting, 1 },
	{ "several", several, 1 }, { "overflow", overflow, 1 }, { "torn", torn, 1 },	   { "sqpoll", sqpoll, 0 },
};

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	snprintf(file, sizeof(file), "%s/data", argv[1]);
	snprintf(missing, sizeof(missing), "%s/nothing", argv[1]);
	int fd = open(file, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	static char page[4096];
	if (fd < 0 || write(fd, page, sizeof(page)) != sizeof(page))
		return 3;
	close(fd);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int wanted = argc == 2 && cases[i].always;
		for (int j = 2; j < argc; j++)
			wanted |= !strcmp(argv[j], cases[i].name);
		if (!wanted)
			continue;
		now = cases[i].name;
		cases[i].run();
	}
	printf("end\n");
	return 0;
}
