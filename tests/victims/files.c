/* Files, folders, names. */
#include "victims.h"
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

VICTIM(open_read_close)
{
	char buffer[64];
	int fd;
	make("a", "hello, world\n");
	fd = open("a", O_RDONLY | O_CLOEXEC);
	read(fd, buffer, sizeof(buffer));
	read(fd, buffer, sizeof(buffer));
	close(fd);
}
VICTIM(open_old) { CALL(open, "/etc/hostname", O_RDONLY | O_NONBLOCK | O_NOFOLLOW); }
VICTIM(open_missing) { open("nothing", O_RDONLY); }
VICTIM(open_without_right_flags) { open(".", O_WRONLY); }
VICTIM(creat) { CALL(creat, "c", 0600); }
VICTIM(open_excl)
{
	open("x", O_CREAT | O_EXCL | O_RDWR, 0640);
	open("x", O_CREAT | O_EXCL | O_RDWR, 0640);
}
VICTIM(open_append_sync) { open("x", O_CREAT | O_APPEND | O_WRONLY | O_SYNC | O_NOATIME, 0600); }
VICTIM(open_path) { int fd = open("/usr", O_PATH | O_DIRECTORY); fchdir(fd); openat(fd, "bin", O_RDONLY | O_DIRECTORY); }
VICTIM(open_tmpfile)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	write(fd, "temporary", 9);
	linkat(AT_FDCWD, "/proc/self/fd/3", AT_FDCWD, "named", AT_SYMLINK_FOLLOW);
}
VICTIM(open_unknown_flags) { CALL(openat, AT_FDCWD, "x", O_RDONLY | 0x40000000); }
VICTIM(open_bad_path) { open(NOWHERE, O_RDONLY); open(NULL, O_RDONLY); }
VICTIM(open_empty_path) { open("", O_RDONLY); }
VICTIM(open_long_path)
{
	char name[5000];
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = 0;
	open(name, O_RDONLY);
	name[300] = 0;
	open(name, O_RDONLY);
	name[4095] = 0;
	memset(name + 300, '/', 1);
	open(name, O_RDONLY);
}
VICTIM(names_not_utf8)
{
	make("\xff\xfe\x80", "x");
	make("tab\tnew\nline\"quote\\", "x");
	make("\xe2\x82\xac-\x01\x1b[31m", "x");
	make("1\x01" "2", "x");
	unlink("\xff\xfe\x80");
}
VICTIM(openat_dirfd)
{
	int fd;
	mkdir("d", 0755);
	fd = open("d", O_RDONLY | O_DIRECTORY);
	openat(fd, "f", O_CREAT | O_RDWR, 0644);
	openat(-1, "f", O_RDONLY);
	openat(999, "f", O_RDONLY);
	openat(fd, "/etc/hostname", O_RDONLY);
}
VICTIM(openat2)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	CALL(openat2, AT_FDCWD, "/etc/hostname", &how, sizeof(how));
	how.flags = O_CREAT | O_RDWR;
	how.mode = 0640;
	CALL(openat2, AT_FDCWD, "new", &how, sizeof(how));
	CALL(openat2, AT_FDCWD, "new", NOWHERE, sizeof(how));
}
VICTIM(rename_)
{
	make("a", "a");
	rename("a", "b");
	renameat(AT_FDCWD, "b", AT_FDCWD, "c");
	CALL(renameat2, AT_FDCWD, "c", AT_FDCWD, "d", RENAME_NOREPLACE);
	CALL(rename, "gone", "there");
}
VICTIM(links)
{
	char target[64];
	make("a", "a");
	CALL(link, "a", "hard");
	CALL(symlink, "a", "soft");
	linkat(AT_FDCWD, "a", AT_FDCWD, "hard2", 0);
	symlinkat("soft", AT_FDCWD, "softer");
	CALL(readlink, "soft", target, sizeof(target));
	readlinkat(AT_FDCWD, "softer", target, sizeof(target));
	readlinkat(AT_FDCWD, "softer", target, 2);
	CALL(readlink, "a", target, sizeof(target));
	CALL(unlink, "hard");
	unlinkat(AT_FDCWD, "hard2", 0);
}
VICTIM(folders)
{
	CALL(mkdir, "d", 0750);
	mkdirat(AT_FDCWD, "e", 0700);
	CALL(rmdir, "d");
	unlinkat(AT_FDCWD, "e", AT_REMOVEDIR);
	CALL(rmdir, "/");
}
VICTIM(getdents)
{
	char entries[1024];
	int fd;
	make("one", "");
	fd = open(".", O_RDONLY | O_DIRECTORY);
	CALL(getdents64, fd, entries, sizeof(entries));
	CALL(getdents64, fd, entries, sizeof(entries));
	CALL(getdents64, fd, entries, 1);
}
VICTIM(getcwd_)
{
	char path[256];
	CALL(getcwd, path, sizeof(path));
	CALL(getcwd, path, 1);
	chdir("/");
	CALL(getcwd, path, sizeof(path));
	chdir("missing");
}
VICTIM(stat_)
{
	struct stat status;
	make("a", "twelve bytes");
	CALL(stat, "a", &status);
	CALL(lstat, "a", &status);
	CALL(stat, "/dev/null", &status);
	CALL(stat, "nothing", &status);
	CALL(stat, "a", NOWHERE);
	CALL(fstat, 0, &status);
	CALL(fstat, 77, &status);
	fstatat(AT_FDCWD, "a", &status, AT_SYMLINK_NOFOLLOW);
	fstatat(0, "", &status, AT_EMPTY_PATH);
}
VICTIM(statx_)
{
	struct statx status;
	make("a", "x");
	statx(AT_FDCWD, "a", AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS, &status);
	statx(AT_FDCWD, "/", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MODE | STATX_SIZE, &status);
	statx(AT_FDCWD, "missing", 0, STATX_ALL, &status);
}
VICTIM(statfs_) { struct statfs status; statfs("/proc", &status); fstatfs(0, &status); statfs("missing", &status); }
VICTIM(access_)
{
	CALL(access, "/etc/passwd", R_OK);
	CALL(access, "/etc/passwd", F_OK);
	CALL(access, "missing", R_OK | W_OK | X_OK);
	CALL(faccessat, AT_FDCWD, "/etc", X_OK);
	CALL(faccessat2, AT_FDCWD, "/etc", X_OK, AT_EACCESS);
}
VICTIM(chmod_)
{
	int fd;
	make("a", "");
	CALL(chmod, "a", 0600);
	fd = open("a", O_RDONLY);
	fchmod(fd, 04755);
	CALL(fchmodat, AT_FDCWD, "a", 0644);
	CALL(chmod, "missing", 0);
}
VICTIM(chown_)
{
	make("a", "");
	CALL(chown, "a", 1, 2);
	CALL(lchown, "a", -1, 3);
	CALL(fchownat, AT_FDCWD, "a", 0, -1, AT_SYMLINK_NOFOLLOW);
	CALL(fchown, 55, 0, 0);
}
VICTIM(umask_) { umask(027); umask(0); }
VICTIM(truncate_)
{
	int fd;
	make("a", "0123456789");
	truncate("a", 4);
	fd = open("a", O_RDWR);
	ftruncate(fd, 1 << 20);
	ftruncate(fd, -1);
	fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096);
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	lseek(fd, 5, SEEK_SET);
	lseek(fd, -2, SEEK_CUR);
	lseek(fd, 0, SEEK_END);
	lseek(fd, 0, SEEK_DATA);
	lseek(fd, -1, SEEK_SET);
}
VICTIM(times)
{
	struct timespec both[2] = { { 1, 2 }, { 3, 4 } };
	struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
	struct timeval old[2] = { { 5, 6 }, { 7, 8 } };
	struct utimbuf older = { 9, 10 };
	make("a", "");
	utimensat(AT_FDCWD, "a", both, 0);
	utimensat(AT_FDCWD, "a", now, AT_SYMLINK_NOFOLLOW);
	utimensat(AT_FDCWD, "a", NULL, 0);
	CALL(utimes, "a", old);
	CALL(utime, "a", &older);
}
VICTIM(mknod_)
{
	CALL(mknod, "fifo", S_IFIFO | 0600, 0);
	CALL(mknodat, AT_FDCWD, "null", S_IFCHR | 0666, 0x103);
	CALL(mknod, "file", S_IFREG | 0600, 0);
}
VICTIM(xattrs)
{
	char value[64];
	make("a", "");
	setxattr("a", "user.colour", "blue", 4, XATTR_CREATE);
	getxattr("a", "user.colour", value, sizeof(value));
	getxattr("a", "user.none", value, sizeof(value));
	listxattr("a", value, sizeof(value));
	removexattr("a", "user.colour");
}
VICTIM(flock_)
{
	int fd;
	make("a", "");
	fd = open("a", O_RDWR);
	flock(fd, LOCK_EX | LOCK_NB);
	flock(fd, LOCK_UN);
}
VICTIM(record_locks)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 10 };
	int fd;
	make("a", "0123456789");
	fd = open("a", O_RDWR);
	fcntl(fd, F_SETLK, &lock);
	fcntl(fd, F_GETLK, &lock);
	lock.l_type = F_UNLCK;
	fcntl(fd, F_SETLKW, &lock);
}
VICTIM(pread_pwrite)
{
	char buffer[16];
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	pwrite(fd, "abc\0\1\377", 6, 100);
	pread(fd, buffer, 6, 100);
	pread(fd, buffer, 6, 0);
	pread(fd, buffer, 6, 1 << 20);
	pread(fd, buffer, 6, -5);
}
VICTIM(write_bad) { write(1, NOWHERE, 5); write(99, "abc", 3); write(1, "", 0); }
VICTIM(read_bad)
{
	char buffer[8];
	int fd;
	make("a", "abc");
	fd = open("a", O_RDONLY);
	read(fd, NOWHERE, 5);
	read(99, buffer, 5);
	read(fd, buffer, 0);
	fd = open(".", O_RDONLY);
	read(fd, buffer, 5);
}
VICTIM(write_long)
{
	static char data[3000];
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	for (unsigned at = 0; at < sizeof(data); at++)
		data[at] = 'a' + at % 26;
	write(fd, data, sizeof(data));
	write(fd, data, 40);
	write(fd, data, 32);
	lseek(fd, 0, SEEK_SET);
	read(fd, data, 2000);
}
VICTIM(write_binary)
{
	static const char bytes[] = "\0\1\2\a\b\t\n\v\f\r\33 \"'\\\177\200\3770\0001\00012";
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	write(fd, bytes, sizeof(bytes) - 1);
}
VICTIM(sync_)
{
	int fd;
	make("a", "a");
	fd = open("a", O_RDWR);
	fsync(fd);
	fdatasync(fd);
	CALL(sync_file_range, fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	readahead(fd, 0, 4096);
}
VICTIM(dups)
{
	int fd = open("/dev/null", O_RDONLY);
	dup(fd);
	dup2(fd, 20);
	CALL(dup2, fd, fd);
	dup3(fd, 21, O_CLOEXEC);
	CALL(dup3, fd, fd, 0);
	dup(99);
	close(20);
	close(20);
	CALL(close_range, 21, 30, 0);
}
VICTIM(fcntls)
{
	int fd = open("/dev/null", O_RDWR);
	fcntl(fd, F_GETFD);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_GETFD);
	fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND);
	fcntl(fd, F_GETFL);
	fcntl(fd, F_DUPFD, 30);
	fcntl(fd, F_DUPFD_CLOEXEC, 40);
	fcntl(fd, 9999, 5);
	fcntl(77, F_GETFD);
	fcntl(fd, F_SETOWN, getpid());
	fcntl(fd, F_GETOWN);
}
VICTIM(chroot_) { mkdir("root", 0755); chroot("root"); open("/x", O_CREAT | O_WRONLY, 0600); chroot("/missing"); }
VICTIM(fifo)
{
	int fd;
	mkfifo("f", 0600);
	fd = open("f", O_RDWR);
	write(fd, "through", 7);
}
VICTIM(devices) { int fd = open("/dev/zero", O_RDONLY); char b[8]; read(fd, b, 8); fd = open("/dev/full", O_WRONLY); write(fd, "x", 1); }
VICTIM(deleted_file)
{
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	unlink("a");
	write(fd, "still", 5);
	fsync(fd);
}
VICTIM(moved_file)
{
	int fd = open("a", O_CREAT | O_RDWR, 0600);
	rename("a", "b");
	write(fd, "moved", 5);
}
VICTIM(angle_brackets) { int fd = open("<a>\"b", O_CREAT | O_RDWR, 0600); write(fd, "x", 1); }
VICTIM(name_to_handle)
{
	char handle[128] = { 0 };
	int mount;
	*(unsigned *)handle = 0;
	CALL(name_to_handle_at, AT_FDCWD, "/", handle, &mount, 0);
}
VICTIM(mount_new_api) { int fd = CALL(fsopen, "tmpfs", 1); CALL(fsconfig, fd, 0, "ro", NULL, 0); close(fd); CALL(open_tree, AT_FDCWD, "/", 0); }
