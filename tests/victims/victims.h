/* One function a behaviour. Each runs in a process and a folder of its own, and does the same calls every time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct victim {
	const char *name;
	void (*run)(void);
};

#define VICTIM(name) \
	static void victim_##name(void); \
	static const struct victim entry_##name __attribute__((used, section("victims"))) = { #name, victim_##name }; \
	static void victim_##name(void)

/* A call as the kernel gets it, whatever libc would make of it. */
#define CALL(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

/* An address that is never mapped. */
extern void *const nowhere;
#define NOWHERE nowhere

static inline void make(const char *name, const char *content)
{
	int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0 || write(fd, content, strlen(content)) < 0)
		_exit(9);
	close(fd);
}

static inline void reap(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
}
