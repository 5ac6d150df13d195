/* `victims all FOLDER`: every behaviour, one after the other. `victims one NAME FOLDER`: one of them. `victims list`. */
#include "victims.h"

void *const nowhere = (void *)0x10;

extern const struct victim __start_victims[], __stop_victims[];

static int run(const struct victim *victim, const char *folder)
{
	char place[PATH_MAX];
	int status = 0;
	pid_t child;
	snprintf(place, sizeof(place), "%s/%s", folder, victim->name);
	if (mkdir(place, 0755) < 0) {
		perror(place);
		return 1;
	}
	child = fork();
	if (child == 0) {
		if (chdir(place) < 0)
			_exit(9);
		victim->run();
		_exit(0);
	}
	waitpid(child, &status, 0);
	return 0;
}

/* `victims storm N`: N processes, a few at a time. */
static int storm(int count)
{
	int alive = 0;
	for (int at = 0; at < count; at++) {
		pid_t child = fork();
		if (child == 0)
			_exit(at & 127);
		if (child < 0)
			return 1;
		if (++alive == 8) {
			while (alive > 0 && wait(NULL) > 0)
				alive--;
		}
	}
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	const struct victim *victim;
	int failed = 0;
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (victim = __start_victims; victim < __stop_victims; victim++)
			puts(victim->name);
		return 0;
	}
	if (argc >= 2 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc == 3 && !strcmp(argv[1], "storm"))
		return storm(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "all")) {
		for (victim = __start_victims; victim < __stop_victims; victim++)
			failed |= run(victim, argv[2]);
		return failed;
	}
	if (argc == 4 && !strcmp(argv[1], "one")) {
		for (victim = __start_victims; victim < __stop_victims; victim++)
			if (!strcmp(victim->name, argv[2]))
				return run(victim, argv[3]);
	}
	fprintf(stderr, "usage: victims list | storm N | all FOLDER | one NAME FOLDER\n");
	return 2;
}
