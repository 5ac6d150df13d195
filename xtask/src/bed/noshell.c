/* The whole content of the image sf-noshell: sockets of every common kind and a few open files, held until the
 * process is killed. There is nothing else in the image to look at them with. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	_exit(1);
}

static int bound4(int type, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at))
		fail("inet");
	return fd;
}

static void ended(int signal)
{
	(void)signal;
	_exit(0);
}

int main(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7000) };
	struct sockaddr_in6 at6 = { .sin6_family = AF_INET6, .sin6_port = htons(7002), .sin6_addr = in6addr_any };
	struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "/control" };
	struct sockaddr_un hidden = { .sun_family = AF_UNIX };
	int listener, client, six, one = 1;

	signal(SIGTERM, ended);
	signal(SIGINT, ended);

	listener = bound4(SOCK_STREAM, 7000);
	if (listen(listener, 5))
		fail("listen");
	bound4(SOCK_DGRAM, 7001);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(client, (struct sockaddr *)&to, sizeof to) || accept(listener, NULL, NULL) < 0)
		fail("connect");

	/* A container may have no IPv6; then the sockets are IPv4's alone. */
	six = socket(AF_INET6, SOCK_STREAM, 0);
	if (six >= 0) {
		setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
		if (bind(six, (struct sockaddr *)&at6, sizeof at6) || listen(six, 7))
			perror("inet6");
	}

	if (bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&path, sizeof path))
		fail("unix");
	memcpy(hidden.sun_path, "\0abstract", 9);
	if (bind(socket(AF_UNIX, SOCK_DGRAM, 0), (struct sockaddr *)&hidden, sizeof(sa_family_t) + 9))
		fail("abstract");

	if (open("/noshell", O_RDONLY) < 0)
		fail("open");
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
