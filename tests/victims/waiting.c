/* Waiting, timers, signals, and descriptors that are no files. */
#include "victims.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <linux/futex.h>
#include <pthread.h>

VICTIM(epoll)
{
	int ends[2], fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { EPOLLIN | EPOLLET, { .u32 = 7 } }, got[4];
	pipe(ends);
	epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event);
	epoll_wait(fd, got, 4, 0);
	write(ends[1], "x", 1);
	epoll_wait(fd, got, 4, -1);
	event.events = EPOLLOUT | EPOLLONESHOT;
	epoll_ctl(fd, EPOLL_CTL_MOD, ends[0], &event);
	epoll_ctl(fd, EPOLL_CTL_DEL, ends[0], NULL);
	epoll_ctl(fd, EPOLL_CTL_ADD, 99, &event);
	CALL(epoll_create, 3);
	epoll_pwait(fd, got, 4, 1, NULL);
}
VICTIM(poll_)
{
	int ends[2];
	struct pollfd list[3];
	pipe(ends);
	list[0] = (struct pollfd){ ends[0], POLLIN, 0 };
	list[1] = (struct pollfd){ ends[1], POLLOUT | POLLIN, 0 };
	list[2] = (struct pollfd){ -1, POLLIN, 0 };
	poll(list, 3, 0);
	poll(list, 1, 0);
	write(ends[1], "x", 1);
	poll(list, 3, -1);
	list[0].fd = 99;
	poll(list, 1, 5);
	poll(NULL, 0, 1);
}
VICTIM(ppoll_)
{
	struct pollfd one = { 0, POLLIN, 0 };
	struct timespec wait = { 0, 1000 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	one.fd = eventfd(1, 0);
	ppoll(&one, 1, &wait, &set);
}
VICTIM(select_)
{
	int ends[2];
	fd_set in, out;
	struct timeval wait = { 0, 0 };
	pipe(ends);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(ends[0], &in);
	FD_SET(ends[1], &out);
	CALL(select, ends[1] + 1, &in, &out, NULL, &wait);
	FD_SET(ends[0], &in);
	CALL(select, ends[1] + 1, &in, NULL, NULL, &wait);
	CALL(select, 0, NULL, NULL, NULL, &wait);
}
VICTIM(eventfd_)
{
	uint64_t value = 5;
	int fd = eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK);
	write(fd, &value, 8);
	read(fd, &value, 8);
	read(fd, &value, 8);
	CALL(eventfd, 1);
}
VICTIM(timerfd)
{
	struct itimerspec when = { { 0, 0 }, { 0, 1000 } }, old;
	uint64_t count;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(fd, 0, &when, NULL);
	read(fd, &count, 8);
	timerfd_settime(fd, 0, &when, &old);
	usleep(1000);
	timerfd_gettime(fd, &old);
}
VICTIM(signalfd_)
{
	sigset_t set;
	struct signalfd_siginfo info;
	int fd;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	kill(getpid(), SIGUSR1);
	read(fd, &info, sizeof(info));
}
VICTIM(inotify)
{
	char events[512];
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), watch = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE | IN_ONLYDIR);
	make("new", "");
	read(fd, events, sizeof(events));
	inotify_rm_watch(fd, watch);
	CALL(inotify_init);
	inotify_add_watch(fd, "missing", IN_ALL_EVENTS);
}
VICTIM(memfd)
{
	int fd = memfd_create("scratch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	write(fd, "in memory", 9);
	ftruncate(fd, 4096);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL);
	fcntl(fd, F_GET_SEALS);
}
VICTIM(pidfd)
{
	pid_t child = fork();
	int fd;
	if (!child)
		for (;;)
			pause();
	fd = CALL(pidfd_open, child, 0);
	CALL(pidfd_send_signal, fd, SIGKILL, NULL, 0);
	reap(child);
	CALL(pidfd_open, -1, 0);
}
VICTIM(nanosleep_)
{
	struct timespec wait = { 0, 1000 }, rest;
	CALL(nanosleep, &wait, &rest);
	CALL(nanosleep, &wait, NULL);
	wait.tv_nsec = -1;
	CALL(nanosleep, &wait, NULL);
	CALL(nanosleep, NOWHERE, NULL);
}
VICTIM(clock_nanosleep_)
{
	struct timespec wait = { 0, 1000 };
	clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &wait, NULL);
	clock_nanosleep(CLOCK_BOOTTIME, 0, &wait, NULL);
	clock_nanosleep(77, 0, &wait, NULL);
}
VICTIM(clocks)
{
	struct timespec now = { 1, 2 };
	CALL(clock_getres, CLOCK_MONOTONIC, &now);
	CALL(clock_getres, CLOCK_MONOTONIC_COARSE, &now);
	CALL(clock_settime, CLOCK_MONOTONIC, &now);
	CALL(clock_gettime, 99, &now);
}
VICTIM(itimers)
{
	struct itimerval value = { { 0, 0 }, { 100, 0 } }, old;
	CALL(setitimer, ITIMER_REAL, &value, NULL);
	value.it_value.tv_sec = 0;
	CALL(setitimer, ITIMER_VIRTUAL, &value, &old);
	CALL(getitimer, ITIMER_PROF, &old);
	alarm(0);
	alarm(50);
}
VICTIM(posix_timers)
{
	struct itimerspec when = { { 0, 0 }, { 100, 5 } };
	int timer = -1;
	CALL(timer_create, CLOCK_MONOTONIC, NULL, &timer);
	CALL(timer_settime, timer, 0, &when, NULL);
	CALL(timer_getoverrun, timer);
	CALL(timer_delete, timer);
	CALL(timer_delete, 12345);
}
static void handler(int number) { (void)number; }
VICTIM(signals)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART | SA_NODEFER }, old;
	sigset_t set;
	sigaddset(&action.sa_mask, SIGHUP);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR1, NULL, &old);
	action.sa_handler = SIG_IGN;
	action.sa_flags = 0;
	sigaction(SIGCHLD, &action, &old);
	sigaction(SIGKILL, &action, NULL);
	kill(getpid(), SIGUSR1);
	kill(getpid(), 0);
	CALL(tgkill, getpid(), gettid(), SIGUSR1);
	CALL(tkill, gettid(), SIGUSR1);
	kill(0x3fffffff, SIGTERM);
	kill(getpid(), 999);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigpending(&set);
	kill(getpid(), SIGRTMIN);
}
VICTIM(signal_interrupts)
{
	struct sigaction action = { .sa_handler = handler };
	struct itimerval value = { { 0, 0 }, { 0, 20000 } };
	struct timespec wait = { 5, 0 }, rest;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &value, NULL);
	CALL(nanosleep, &wait, &rest);
	setitimer(ITIMER_REAL, &value, NULL);
	CALL(pause);
}
VICTIM(signal_restarts)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct itimerval value = { { 0, 0 }, { 0, 20000 } };
	int ends[2];
	char byte;
	pipe(ends);
	if (!fork()) {
		usleep(100000);
		write(ends[1], "x", 1);
		_exit(0);
	}
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &value, NULL);
	read(ends[0], &byte, 1);
	wait(NULL);
}
VICTIM(sigsuspend_)
{
	struct sigaction action = { .sa_handler = handler };
	struct itimerval value = { { 0, 0 }, { 0, 20000 } };
	sigset_t set;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &value, NULL);
	sigemptyset(&set);
	sigsuspend(&set);
}
VICTIM(sigaltstack_)
{
	static char place[16384];
	stack_t stack = { .ss_sp = place, .ss_size = sizeof(place) }, old;
	sigaltstack(&stack, NULL);
	sigaltstack(NULL, &old);
}
VICTIM(sigtimedwait_)
{
	sigset_t set;
	struct timespec wait = { 0, 1000 };
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigtimedwait(&set, &info, &wait);
	kill(getpid(), SIGUSR2);
	sigtimedwait(&set, &info, &wait);
}
VICTIM(futexes)
{
	static uint32_t word = 5;
	struct timespec wait = { 0, 1000 };
	CALL(futex, &word, FUTEX_WAIT, 4, NULL, NULL, 0);
	CALL(futex, &word, FUTEX_WAIT_PRIVATE, 5, &wait, NULL, 0);
	CALL(futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
	CALL(futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	CALL(futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5, &wait, NULL, FUTEX_BITSET_MATCH_ANY);
	CALL(futex, &word, FUTEX_REQUEUE, 1, 1, &word, 0);
	CALL(futex, &word, FUTEX_CMP_REQUEUE_PRIVATE, 1, INT_MAX, &word, 4);
	CALL(futex, NOWHERE, FUTEX_WAIT, 1, NULL, NULL, 0);
	CALL(futex, &word, 0x55, 1, NULL, NULL, 0);
}
VICTIM(killed_in_read)
{
	pid_t child = fork();
	if (!child) {
		int ends[2];
		char byte;
		pipe(ends);
		read(ends[0], &byte, 1);
	}
	usleep(50000);
	kill(child, SIGKILL);
	reap(child);
}
VICTIM(killed_in_sleep)
{
	pid_t child = fork();
	if (!child)
		for (;;)
			pause();
	usleep(50000);
	kill(child, SIGTERM);
	reap(child);
}
