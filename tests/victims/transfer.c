/* Data through iovecs, pipes, sockets, and the kernel's own copying. */
#include "victims.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

VICTIM(writev_readv)
{
	char a[4], b[100];
	struct iovec out[3] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
	struct iovec in[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	writev(fd, out, 3);
	lseek(fd, 0, SEEK_SET);
	readv(fd, in, 2);
	pwritev(fd, out, 3, 1000);
	preadv(fd, in, 2, 1000);
	CALL(pwritev2, fd, out, 3, 2000, 0, 0);
	CALL(preadv2, fd, in, 2, 2000, 0, 0);
	readv(fd, in, 0);
	writev(fd, NOWHERE, 2);
	writev(fd, out, -1);
}
VICTIM(writev_many)
{
	struct iovec out[20];
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	for (int at = 0; at < 20; at++)
		out[at] = (struct iovec){ "abcdefgh", 1 + at % 8 };
	writev(fd, out, 20);
}
VICTIM(pipes)
{
	int ends[2], more[2];
	char buffer[16];
	CALL(pipe, ends);
	pipe2(more, O_CLOEXEC | O_NONBLOCK);
	write(ends[1], "piped", 5);
	read(ends[0], buffer, sizeof(buffer));
	read(more[0], buffer, sizeof(buffer));
	close(ends[1]);
	read(ends[0], buffer, sizeof(buffer));
	CALL(pipe, NOWHERE);
	fcntl(more[0], F_SETPIPE_SZ, 65536);
	fcntl(more[0], F_GETPIPE_SZ);
}
VICTIM(broken_pipe)
{
	int ends[2];
	pipe(ends);
	close(ends[0]);
	signal(SIGPIPE, SIG_IGN);
	write(ends[1], "x", 1);
}
VICTIM(killed_by_pipe)
{
	int ends[2];
	pipe(ends);
	close(ends[0]);
	write(ends[1], "x", 1);
}
VICTIM(sendfile_)
{
	int from, to;
	off_t at = 2;
	make("a", "0123456789");
	from = open("a", O_RDONLY);
	to = open("b", O_CREAT | O_WRONLY, 0600);
	sendfile(to, from, NULL, 4);
	sendfile(to, from, &at, 4);
	sendfile(to, 99, NULL, 4);
}
VICTIM(copy_file_range_)
{
	int from, to;
	off64_t at = 1;
	make("a", "0123456789");
	from = open("a", O_RDONLY);
	to = open("b", O_CREAT | O_WRONLY, 0600);
	copy_file_range(from, NULL, to, NULL, 4, 0);
	copy_file_range(from, &at, to, NULL, 4, 0);
}
VICTIM(splice_tee)
{
	int a[2], b[2], fd;
	struct iovec part = { "spliced", 7 };
	pipe(a);
	pipe(b);
	make("a", "file data");
	fd = open("a", O_RDONLY);
	splice(fd, NULL, a[1], NULL, 9, SPLICE_F_MOVE);
	tee(a[0], b[1], 9, SPLICE_F_NONBLOCK);
	vmsplice(a[1], &part, 1, 0);
	splice(99, NULL, a[1], NULL, 1, 0);
}
VICTIM(socketpair_)
{
	int ends[2];
	char buffer[16];
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	write(ends[0], "hi", 2);
	read(ends[1], buffer, sizeof(buffer));
	shutdown(ends[0], SHUT_WR);
	read(ends[1], buffer, sizeof(buffer));
	socketpair(AF_INET, SOCK_STREAM, 0, ends);
}
VICTIM(unix_stream)
{
	struct sockaddr_un name = { AF_UNIX, "sock" };
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	char buffer[16];
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), one;
	bind(server, (void *)&name, sizeof(name));
	listen(server, 5);
	connect(client, (void *)&name, sizeof(name));
	one = accept(server, (void *)&peer, &length);
	write(client, "question", 8);
	recv(one, buffer, sizeof(buffer), 0);
	send(one, "answer", 6, MSG_NOSIGNAL);
	recv(client, buffer, sizeof(buffer), MSG_DONTWAIT);
	recv(client, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_PEEK);
	length = sizeof(peer);
	getsockname(one, (void *)&peer, &length);
	length = sizeof(peer);
	getpeername(one, (void *)&peer, &length);
}
VICTIM(unix_abstract)
{
	struct sockaddr_un name = { AF_UNIX, "\0stillframe-victim" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	bind(fd, (void *)&name, offsetof(struct sockaddr_un, sun_path) + 18);
	connect(fd, (void *)&name, offsetof(struct sockaddr_un, sun_path) + 18);
	connect(fd, (void *)&name, 2);
}
VICTIM(unix_missing)
{
	struct sockaddr_un name = { AF_UNIX, "/nonexistent/socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	connect(fd, (void *)&name, sizeof(name));
	connect(fd, NOWHERE, sizeof(name));
	connect(fd, (void *)&name, 0);
}
static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return name;
}
VICTIM(tcp)
{
	struct sockaddr_in name = loopback(0), peer;
	socklen_t length = sizeof(name);
	char buffer[32];
	int one = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), end;
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	bind(server, (void *)&name, sizeof(name));
	getsockname(server, (void *)&name, &length);
	listen(server, 128);
	connect(client, (void *)&name, sizeof(name));
	length = sizeof(peer);
	end = accept4(server, (void *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	length = sizeof(one);
	getsockopt(end, SOL_SOCKET, SO_ERROR, &one, &length);
	send(client, "GET / HTTP/1.0\r\n\r\n", 18, 0);
	recv(end, buffer, sizeof(buffer), MSG_WAITALL);
	write(end, "HTTP/1.0 200 OK\r\n", 17);
	read(client, buffer, sizeof(buffer));
	length = sizeof(peer);
	getpeername(client, (void *)&peer, &length);
	shutdown(end, SHUT_RDWR);
	read(client, buffer, sizeof(buffer));
	close(end);
	close(client);
	shutdown(server, SHUT_RD);
}
VICTIM(tcp_refused)
{
	struct sockaddr_in name = loopback(1);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	connect(fd, (void *)&name, sizeof(name));
}
VICTIM(tcp6)
{
	struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t length = sizeof(name);
	int server = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);
	if (bind(server, (void *)&name, sizeof(name)) < 0)
		return;
	getsockname(server, (void *)&name, &length);
	listen(server, 1);
	connect(client, (void *)&name, sizeof(name));
	send(client, "six", 3, 0);
}
VICTIM(udp)
{
	struct sockaddr_in name = loopback(0), from;
	socklen_t length = sizeof(name);
	char buffer[32];
	int a = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP), b = socket(AF_INET, SOCK_DGRAM, 0);
	bind(a, (void *)&name, sizeof(name));
	getsockname(a, (void *)&name, &length);
	sendto(b, "datagram", 8, MSG_CONFIRM, (void *)&name, sizeof(name));
	length = sizeof(from);
	recvfrom(a, buffer, sizeof(buffer), 0, (void *)&from, &length);
	recvfrom(a, buffer, sizeof(buffer), MSG_DONTWAIT, NULL, NULL);
}
VICTIM(sendmsg_recvmsg)
{
	int ends[2];
	char a[3], b[32];
	struct iovec out[2] = { { "first", 5 }, { "second", 6 } }, in[2] = { { a, 3 }, { b, 32 } };
	struct msghdr message = { .msg_iov = out, .msg_iovlen = 2 };
	socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
	sendmsg(ends[0], &message, MSG_NOSIGNAL);
	message.msg_iov = in;
	recvmsg(ends[1], &message, 0);
	recvmsg(ends[1], &message, MSG_DONTWAIT);
	sendmsg(ends[0], NOWHERE, 0);
}
VICTIM(sendmsg_name)
{
	struct sockaddr_in name = loopback(0), from;
	socklen_t length = sizeof(name);
	char buffer[32];
	struct iovec part = { "to a name", 9 }, into = { buffer, 32 };
	struct msghdr message = { .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &part, .msg_iovlen = 1 };
	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
	bind(a, (void *)&name, sizeof(name));
	getsockname(a, (void *)&name, &length);
	sendmsg(b, &message, 0);
	message.msg_name = &from;
	message.msg_iov = &into;
	recvmsg(a, &message, 0);
}
VICTIM(pass_descriptor)
{
	int ends[2], fd = open("/dev/null", O_RDONLY);
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	sendmsg(ends[0], &message, 0);
	recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC);
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	read(fd, &byte, 1);
}
VICTIM(sendmmsg_)
{
	int ends[2];
	char a[16], b[16];
	struct iovec out[2] = { { "one", 3 }, { "two", 3 } }, in[2] = { { a, 16 }, { b, 16 } };
	struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = out, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = out + 1, .msg_iovlen = 1 } } };
	socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
	sendmmsg(ends[0], messages, 2, 0);
	messages[0].msg_hdr.msg_iov = in;
	messages[1].msg_hdr.msg_iov = in + 1;
	recvmmsg(ends[1], messages, 2, MSG_DONTWAIT, NULL);
}
VICTIM(netlink)
{
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bind(fd, (void *)&name, sizeof(name));
}
VICTIM(raw_and_packet) { socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); socket(AF_PACKET, SOCK_RAW, htons(3)); socket(AF_VSOCK, SOCK_STREAM, 0); }
VICTIM(socket_unknown) { socket(99, 3, 4); socket(AF_INET, 77, 0); }
VICTIM(socket_options)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), value = 4096;
	struct linger linger = { 1, 5 };
	struct timeval wait = { 1, 500000 };
	socklen_t length = sizeof(value);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof(value));
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length);
	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &length);
	setsockopt(fd, 12345, 1, &value, sizeof(value));
	getsockopt(99, SOL_SOCKET, SO_ERROR, &value, &length);
}
VICTIM(listen_unbound) { int fd = socket(AF_INET, SOCK_STREAM, 0); listen(fd, -1); getsockname(fd, NULL, NULL); }
VICTIM(nonblocking_connect)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(0xc0000201) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(fd, (void *)&name, 3);
}
