/* Processes, threads, identity, limits. */
#include "victims.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <linux/capability.h>

VICTIM(fork_exit)
{
	pid_t child = fork();
	if (!child)
		_exit(42);
	reap(child);
	CALL(wait4, -1, NULL, WNOHANG, NULL);
}
VICTIM(fork_old) { pid_t child = CALL(fork); if (!child) CALL(exit, 7); reap(child); }
VICTIM(vfork_exec)
{
	pid_t child = vfork();
	if (!child) {
		execl("/proc/self/exe", "victims", "nothing", NULL);
		_exit(127);
	}
	reap(child);
}
VICTIM(clone3_)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t child = CALL(clone3, &args, sizeof(args));
	if (!child)
		_exit(3);
	reap(child);
	CALL(clone3, NOWHERE, sizeof(args));
}
static void *thread(void *unused)
{
	close(101);
	return unused;
}
VICTIM(threads)
{
	pthread_t some[3];
	for (int at = 0; at < 3; at++) {
		pthread_create(&some[at], NULL, thread, NULL);
		pthread_join(some[at], NULL);
	}
}
static void *executes(void *unused)
{
	char *argv[] = { "victims", "nothing", NULL }, *none[] = { NULL };
	usleep(20000);
	execve("/proc/self/exe", argv, none);
	return unused;
}
VICTIM(exec_by_thread)
{
	pthread_t one;
	pthread_create(&one, NULL, executes, NULL);
	for (;;)
		pause();
}
static void *exits(void *unused)
{
	usleep(20000);
	_exit(5);
	return unused;
}
VICTIM(exit_group_by_thread)
{
	pthread_t one;
	pthread_create(&one, NULL, exits, NULL);
	for (;;)
		pause();
}
VICTIM(leader_exits_first)
{
	pthread_t one;
	pthread_create(&one, NULL, exits, NULL);
	CALL(exit, 0);
}
VICTIM(exec_missing)
{
	char *argv[] = { "nothing", "a b", "\xff\"", NULL }, *env[] = { "A=1", "B=2", NULL };
	execve("/nonexistent/program", argv, env);
	execve("/etc/passwd", argv, NULL);
	execve(NOWHERE, argv, env);
	execve("/bin/true", NOWHERE, env);
	execve("", argv, env);
}
VICTIM(exec_arguments)
{
	char *argv[] = { "victims", "nothing", "", "two words", "\xff\n\t\"q\"", NULL }, *env[] = { "A=1", "LONG=value", NULL };
	execve("/proc/self/exe", argv, env);
}
VICTIM(exec_script)
{
	char *argv[] = { "script", "one", NULL };
	int fd = open("script", O_CREAT | O_WRONLY, 0755);
	write(fd, "#!/bin/true -x\n", 15);
	close(fd);
	execve("./script", argv, NULL);
}
VICTIM(execveat_)
{
	char *argv[] = { "victims", "nothing", NULL }, *none[] = { NULL };
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	CALL(execveat, fd, "", argv, none, AT_EMPTY_PATH);
}
VICTIM(exec_many_arguments)
{
	static char *argv[1000];
	for (int at = 0; at < 999; at++)
		argv[at] = "argument";
	argv[0] = "victims";
	argv[1] = "nothing";
	execve("/proc/self/exe", argv, NULL);
}
VICTIM(exec_mebibyte)
{
	static char *argv[12], *block;
	for (int at = 0; at < 10; at++) {
		block = malloc(105000);
		memset(block, 'a' + at, 104999);
		block[104999] = 0;
		argv[at + 2] = block;
	}
	argv[0] = "victims";
	argv[1] = "nothing";
	argv[11] = NULL;
	execve("/proc/self/exe", argv, NULL);
}
VICTIM(identity)
{
	uid_t a, b, c;
	getpid(); CALL(getppid); CALL(gettid); CALL(getuid); CALL(geteuid); CALL(getgid); CALL(getegid);
	CALL(getpgrp); getpgid(0); getsid(0);
	getresuid(&a, &b, &c);
	getresgid(&a, &b, &c);
}
VICTIM(groups)
{
	gid_t list[3] = { 1, 2, 3 };
	CALL(setgroups, 3, list);
	CALL(getgroups, 3, list);
	CALL(getgroups, 0, NULL);
	CALL(setgroups, 0, NULL);
}
VICTIM(drop_privileges)
{
	CALL(setresgid, 65534, 65534, 65534);
	CALL(setresuid, 65534, 65534, 65534);
	CALL(setuid, 0);
	CALL(setgid, 0);
	CALL(setreuid, -1, 65534);
	open("/etc/shadow", O_RDONLY);
	CALL(setfsuid, 5);
}
VICTIM(capabilities)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	CALL(capget, &header, data);
	CALL(capset, &header, data);
	header.version = 1;
	CALL(capget, &header, NULL);
}
VICTIM(prctls)
{
	char name[16];
	prctl(PR_SET_NAME, "renamed");
	prctl(PR_GET_NAME, name);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_GET_DUMPABLE);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_CAPBSET_READ, 5);
	prctl(12345, 1, 2, 3, 4);
	write(1, "", 0);
}
VICTIM(limits)
{
	struct rlimit limit = { 100, 200 };
	CALL(setrlimit, RLIMIT_NOFILE, &limit);
	CALL(getrlimit, RLIMIT_NOFILE, &limit);
	prlimit(0, RLIMIT_STACK, NULL, &limit);
	limit.rlim_cur = 4096;
	limit.rlim_max = RLIM_INFINITY;
	prlimit(0, RLIMIT_CORE, &limit, &limit);
	CALL(getrlimit, 99, &limit);
}
VICTIM(priorities)
{
	CALL(getpriority, PRIO_PROCESS, 0);
	setpriority(PRIO_PROCESS, 0, 5);
	sched_yield();
	CALL(sched_getscheduler, 0);
	CALL(sched_get_priority_max, SCHED_FIFO);
	CALL(ioprio_get, 1, 0);
}
VICTIM(affinity)
{
	unsigned long mask = 1;
	CALL(sched_setaffinity, 0, sizeof(mask), &mask);
	CALL(sched_getaffinity, 0, sizeof(mask), &mask);
}
VICTIM(usage)
{
	struct utsname name;
	struct rusage usage;
	uname(&name);
	getrusage(RUSAGE_SELF, &usage);
}
VICTIM(sessions) { pid_t child = fork(); if (!child) { setsid(); setpgid(0, 0); _exit(0); } reap(child); setpgid(0, 0); }
VICTIM(wait_kinds)
{
	siginfo_t info;
	int status;
	struct rusage usage;
	pid_t child = fork();
	if (!child)
		_exit(1);
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	wait4(child, &status, 0, &usage);
	wait4(child, &status, 0, NULL);
	child = fork();
	if (!child) {
		raise(SIGSTOP);
		_exit(2);
	}
	waitpid(child, &status, WUNTRACED);
	kill(child, SIGCONT);
	reap(child);
}
VICTIM(abort_) { abort(); }
VICTIM(segfault) { *(volatile int *)NOWHERE = 1; }
VICTIM(namespaces)
{
	int fd;
	unshare(CLONE_NEWNS | CLONE_NEWUTS);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	mkdir("m", 0755);
	mount("none", "m", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=700");
	fd = open("m/file", O_CREAT | O_WRONLY, 0600);
	write(fd, "x", 1);
	close(fd);
	umount2("m", MNT_DETACH);
	CALL(umount2, "m", 0);
	sethostname("victim", 6);
	fd = open("/proc/self/ns/mnt", O_RDONLY);
	setns(fd, CLONE_NEWNS);
}
VICTIM(ptrace_refused) { ptrace(PTRACE_TRACEME, 0, NULL, NULL); ptrace(PTRACE_ATTACH, 1 << 22, NULL, NULL); }
VICTIM(kcmp_and_such) { CALL(personality, 0xffffffff); CALL(getcpu, NULL, NULL, NULL); CALL(membarrier, 0, 0, 0); CALL(set_robust_list, NULL, 0); CALL(kcmp, getpid(), getpid(), 0, 0, 0); }
