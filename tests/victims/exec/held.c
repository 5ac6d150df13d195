/*
 * Holds many execs open at one time: `held COUNT PROGRAM` has COUNT children execute PROGRAM with an argument of their own,
 * stops each inside its execve (the stop of PTRACE_O_TRACEEXEC comes before the call returns), and lets them go when all
 * are there. Prints how many it held.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 1000

static void die(const char *what)
{
	fprintf(stderr, "held: %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	static pid_t children[MOST];
	int count = argc == 3 ? atoi(argv[1]) : 0, held = 0, go[2];
	char byte, argument[32];
	if (count < 1 || count > MOST)
		die("how many?");
	if (pipe(go))
		die("pipe");
	for (int i = 0; i < count; i++) {
		children[i] = fork();
		if (children[i] < 0)
			die("fork");
		if (!children[i]) {
			close(go[1]);
			snprintf(argument, sizeof(argument), "held-%d", i);
			if (read(go[0], &byte, 1) == 0)
				execl(argv[2], argv[2], argument, (char *)0);
			die("execl");
		}
		if (ptrace(PTRACE_SEIZE, children[i], 0, PTRACE_O_TRACEEXEC))
			die("seize");
	}
	close(go[1]);
	for (int i = 0; i < count; i++) {
		int status;
		if (waitpid(children[i], &status, 0) != children[i])
			die("wait");
		held += status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8);
	}
	printf("%d\n", held);
	for (int i = 0; i < count; i++)
		if (ptrace(PTRACE_DETACH, children[i], 0, 0))
			die("detach");
	while (wait(0) > 0 || errno == EINTR)
		;
	return 0;
}
