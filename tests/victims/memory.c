/* Memory, shared memory, and what belongs nowhere else. */
#include "victims.h"
#include <linux/io_uring.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/prctl.h>
#include <termios.h>

VICTIM(mmap_)
{
	int fd = open("/etc/passwd", O_RDONLY);
	char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	mmap(at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_POPULATE, fd, 4096);
	mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0);
	mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_GROWSDOWN, -1, 0);
	mprotect(at, 4096, PROT_READ | PROT_WRITE);
	madvise(at, 4096, MADV_DONTNEED);
	msync(at, 4096, MS_SYNC);
	mremap(at, 8192, 16384, MREMAP_MAYMOVE);
	munmap(at, 4096);
	mlock(at, 4096);
	munlock(at, 4096);
	mincore(at, 4096, NOWHERE);
}
VICTIM(brk_) { CALL(brk, 0); CALL(brk, NOWHERE); }
VICTIM(shared_memory)
{
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	void *at = shmat(id, NULL, SHM_RDONLY);
	shmdt(at);
	shmctl(id, IPC_RMID, NULL);
}
VICTIM(getrandom_) { char bytes[16]; getrandom(bytes, 16, GRND_NONBLOCK); getrandom(NOWHERE, 16, 0); getrandom(bytes, 4, GRND_RANDOM); }
VICTIM(ioctls)
{
	struct termios settings;
	struct winsize size;
	int fd = open("/dev/null", O_RDWR), ends[2], ready;
	ioctl(fd, TCGETS, &settings);
	ioctl(fd, TIOCGWINSZ, &size);
	pipe(ends);
	write(ends[1], "abc", 3);
	ioctl(ends[0], FIONREAD, &ready);
	ready = 1;
	ioctl(ends[0], FIONBIO, &ready);
	ioctl(fd, 0x12345678, 0);
	ioctl(99, TCGETS, &settings);
}
VICTIM(unknown_call) { syscall(9999, 1, 2, 3); syscall(400, 1); }
VICTIM(io_uring)
{
	struct io_uring_params params;
	int fd;
	memset(&params, 0, sizeof(params));
	fd = CALL(io_uring_setup, 4, &params);
	CALL(io_uring_enter, fd, 0, 0, 0, NULL, 0);
	CALL(io_uring_register, fd, 99, NULL, 0);
}
VICTIM(seccomp_)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &allow };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	CALL(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	CALL(seccomp, 99, 0, NULL);
	getppid();
}
VICTIM(seccomp_refuses)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	CALL(getppid);
}
static volatile int stop;
static char shared_name[16] = "first";
static void *changes(void *unused)
{
	while (!stop) {
		memcpy(shared_name, "other", 5);
		memcpy(shared_name, "first", 5);
	}
	return unused;
}
VICTIM(argument_changes)
{
	pthread_t one;
	pthread_create(&one, NULL, changes, NULL);
	for (int at = 0; at < 50; at++)
		CALL(access, shared_name, F_OK);
	stop = 1;
	pthread_join(one, NULL);
}
/* A call through the gate of 32-bit programs; addresses must be below 4 GiB, so they lie in memory that is mapped there. */
static long int80(long number, long a, long b, long c, long d, long e)
{
	long result;
	asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
	return result;
}
static char *low(void) { return mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0); }
VICTIM(int80_files)
{
	char *text = low();
	long fd;
	strcpy(text, "thirty-two");
	fd = int80(5, (long)text, O_CREAT | O_RDWR, 0600, 0, 0);
	int80(4, fd, (long)text, 10, 0, 0);
	int80(19, fd, 0, SEEK_SET, 0, 0);
	int80(3, fd, (long)text + 100, 20, 0, 0);
	int80(295, AT_FDCWD, (long)text, O_RDONLY, 0, 0);
	int80(10, (long)text, 0, 0, 0, 0);
	int80(6, fd, 0, 0, 0, 0);
	int80(5, 16, O_RDONLY, 0, 0, 0);
}
VICTIM(int80_identity) { int80(20, 0, 0, 0, 0, 0); int80(199, 0, 0, 0, 0, 0); int80(224, 0, 0, 0, 0, 0); int80(9999, 0, 0, 0, 0, 0); }
VICTIM(int80_structures)
{
	char *place = low();
	int *words = (int *)place;
	words[0] = 0;
	words[1] = 1000;
	int80(162, (long)place, 0, 0, 0, 0);
	int80(42, (long)place, 0, 0, 0, 0);
	int80(359, 1, 1, 0, 0, 0);
	words[8] = (int)(long)(place + 256);
	words[9] = 3;
	strcpy(place + 256, "vec");
	int80(146, words[1], (long)(words + 8), 1, 0, 0);
}
VICTIM(int80_exit) { int80(252, 6, 0, 0, 0, 0); }
VICTIM(process_vm)
{
	char from[8] = "memory", to[8];
	struct iovec local = { to, 8 }, remote = { from, 8 };
	CALL(process_vm_readv, getpid(), &local, 1, &remote, 1, 0);
}
VICTIM(rusage_children) { CALL(times, NULL); CALL(sysinfo, NOWHERE); CALL(getrusage, 99, NULL); }
VICTIM(pkeys) { CALL(pkey_alloc, 0, 0); CALL(pkey_free, 0); }
VICTIM(arch_prctl_) { CALL(arch_prctl, 0x1003, NOWHERE); }
VICTIM(int80_missing_name) { int80(5, 0, 0, 0, 0, 0); int80(33, (long)NOWHERE, 4, 0, 0, 0); }
VICTIM(many_small_writes)
{
	int fd = open("a", O_CREAT | O_WRONLY, 0600);
	for (int at = 0; at < 100; at++)
		write(fd, "x", 1);
}
