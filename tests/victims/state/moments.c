/* Opens, closes, duplicates and passes on descriptors, and says at known moments what /proc says of them.
 *
 * `moments FOLDER`: makes some descriptors, writes `ready`, waits for FOLDER/go, and goes on. Each moment is one write of
 * `mark NAME PID` to standard output; what /proc/self/fd and /proc/self/net said just before follows in lines, written after
 * the mark, and ends with `end NAME`. Between the reading and the mark nothing is opened or closed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[1 << 16];
static size_t length;

static void fail(const char *what)
{
	fprintf(stderr, "moments: %s: %s\n", what, strerror(errno));
	_exit(9);
}

static int must(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

static void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	length += vsnprintf(said + length, sizeof(said) - length, format, arguments);
	va_end(arguments);
}

static void write_all(const char *from, size_t left)
{
	while (left > 0) {
		ssize_t done = write(1, from, left);
		if (done < 0)
			fail("write");
		from += done;
		left -= done;
	}
}

static void descriptors(void)
{
	char target[PATH_MAX];
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	if (!folder)
		fail("/proc/self/fd");
	while ((entry = readdir(folder))) {
		ssize_t got;
		int flags;
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(folder))
			continue;
		got = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
		if (got < 0)
			fail("readlinkat");
		target[got] = 0;
		flags = must(fcntl(atoi(entry->d_name), F_GETFD), "F_GETFD");
		say("fd %s %s %s\n", entry->d_name, flags & FD_CLOEXEC ? "cloexec" : "stays", target);
	}
	closedir(folder);
}

static void net(const char *table)
{
	static char text[1 << 15];
	char path[64], *line, *rest = text;
	size_t have = 0;
	ssize_t got;
	int fd;
	snprintf(path, sizeof(path), "/proc/self/net/%s", table);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	while ((got = read(fd, text + have, sizeof(text) - 1 - have)) > 0)
		have += got;
	close(fd);
	text[have] = 0;
	strsep(&rest, "\n");
	while ((line = strsep(&rest, "\n")))
		if (*line)
			say("%s %s\n", table, line);
}

static void moment(const char *name)
{
	char mark[64];
	length = 0;
	descriptors();
	net("tcp");
	net("udp");
	net("unix");
	snprintf(mark, sizeof(mark), "mark %s %d\n", name, (int)getpid());
	write_all(mark, strlen(mark));
	write_all(said, length);
	snprintf(mark, sizeof(mark), "end %s\n", name);
	write_all(mark, strlen(mark));
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int listener(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	must(bind(fd, (void *)&address, sizeof(address)), "bind");
	must(listen(fd, 8), "listen");
	return fd;
}

static int client(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
	must(connect(fd, (void *)&address, sizeof(address)), "connect");
	return fd;
}

static int local(const char *path, int listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = must(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
	strcpy(address.sun_path, path);
	if (listens) {
		must(bind(fd, (void *)&address, sizeof(address)), "bind");
		must(listen(fd, 8), "listen");
	} else {
		must(connect(fd, (void *)&address, sizeof(address)), "connect");
	}
	return fd;
}

/* Passes a descriptor through a socket to ourselves. */
static int passed(int over[2], int fd)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	must(sendmsg(over[0], &message, 0), "sendmsg");
	message.msg_controllen = sizeof(control);
	must(recvmsg(over[1], &message, 0), "recvmsg");
	head = CMSG_FIRSTHDR(&message);
	memcpy(&fd, CMSG_DATA(head), sizeof(int));
	return fd;
}

static void *in_thread(void *path)
{
	must(open(path, O_RDONLY | O_CLOEXEC), "open in a thread");
	return NULL;
}

static void after_exec(void)
{
	moment("exec");
	must(close(3), "close");
	moment("end");
	_exit(0);
}

int main(int argc, char **argv)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
	int pair[2], ends[2], file, other, tcp, mine, theirs, udp, status;
	struct sockaddr_in address;
	pthread_t thread;
	pid_t child;
	if (argc == 2 && !strcmp(argv[1], "after-exec"))
		after_exec();
	if (argc != 2)
		return 2;
	must(chdir(argv[1]), argv[1]);

	/* What the snapshot of the start has to find: 3 and up. */
	file = must(open("/etc/passwd", O_RDONLY), "passwd");
	must(open("log", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644), "log");
	must(pipe(ends), "pipe");
	tcp = listener(7100);
	mine = client(7100);
	theirs = must(accept4(tcp, NULL, NULL, SOCK_CLOEXEC), "accept");
	udp = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	address = loopback(7101);
	must(bind(udp, (void *)&address, sizeof(address)), "bind");
	local("before.sock", 1);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	must(eventfd(0, EFD_CLOEXEC), "eventfd");
	must(epoll_create1(0), "epoll");
	must(open("/", O_RDONLY | O_DIRECTORY), "/");
	other = must(open("gone", O_CREAT | O_RDWR, 0644), "gone");
	must(unlink("gone"), "unlink");
	write_all("ready\n", 6);
	while (access("go", F_OK) < 0)
		usleep(20000);
	moment("start");

	/* Files, and what they are called by. */
	must(dup2(file, 50), "dup2");
	must(fcntl(file, F_DUPFD_CLOEXEC, 100), "F_DUPFD_CLOEXEC");
	must(fcntl(50, F_SETFD, FD_CLOEXEC), "F_SETFD");
	must(dup3(other, 51, O_CLOEXEC), "dup3");
	must(close(other), "close");
	must(open("/etc/group", O_RDONLY), "group");
	must(open("plain", O_CREAT | O_RDWR | O_CLOEXEC, 0644), "plain");
	must(memfd_create("scratch", 0), "memfd");
	must(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd");
	moment("files");

	/* Pipes and sockets. */
	must(close(ends[0]), "close");
	must(pipe2(ends, O_CLOEXEC), "pipe2");
	must(client(7100), "client");
	must(accept(tcp, NULL, NULL), "accept");
	listener(7102);
	other = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	must(connect(other, (void *)&address, sizeof(address)), "connect");
	must(socket(AF_INET, SOCK_STREAM, 0), "socket");
	local("during.sock", 1);
	must(local("before.sock", 0), "connect");
	must(close(udp), "close");
	moment("sockets");

	/* The other end closes: nobody here makes a call that tells. */
	must(close(theirs), "close");
	usleep(50000);
	moment("closed");
	must(close(mine), "close");

	/* A child has its own descriptors. */
	child = must(fork(), "fork");
	if (child == 0) {
		must(close(file), "close");
		must(open("/etc/passwd", O_RDONLY | O_CLOEXEC), "passwd");
		moment("child");
		_exit(0);
	}
	must(waitpid(child, &status, 0), "waitpid");
	moment("parent");

	/* A thread has those of its process; a descriptor may come through a socket. */
	must(pthread_create(&thread, NULL, in_thread, "/etc/group") ? -1 : 0, "thread");
	pthread_join(thread, NULL);
	moment("thread");
	must(passed(pair, 50), "pass");
	moment("passed");
	must(syscall(SYS_close_range, 100, 200, 0), "close_range");
	moment("range");

	/* Names that the kernel sees otherwise than they were given. */
	must(open("../srv/./plain", O_RDONLY), "dots");
	must(symlink("plain", "link"), "symlink");
	must(open("link", O_RDONLY), "link");
	must(rename("plain", "renamed"), "rename");
	must(syscall(SYS_openat2, AT_FDCWD, "/etc/group", &how, sizeof(how)), "openat2");
	moment("names");

	execl("/proc/self/exe", "moments", "after-exec", NULL);
	fail("exec");
	return 9;
}
