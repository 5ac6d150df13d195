#!/bin/sh
# What is recorded: a known number of calls, signals, requests of io_uring, an OOM kill, a connection, a write to the disk, a wall clock that is set, an exit code.
export PATH=/bin
dd if=/dev/zero of=/dev/null bs=1 count=2000 2>/dev/null
sh -c 'trap : USR1; kill -USR1 $$; true'
rings /tmp files batch refused waiting several overflow torn sqpoll >/dev/null
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/small
echo 16M >/sys/fs/cgroup/small/memory.max
sh -c 'echo $$ >/sys/fs/cgroup/small/cgroup.procs; exec dd if=/dev/zero of=/dev/null bs=64M count=1' 2>/dev/null
httpd -p 8080 -h /
wget -q -O /dev/null http://127.0.0.1:8080/work.sh
dd if=/dev/zero of=/data/out bs=64k count=16 conv=fsync 2>/dev/null
date -s "@$(($(date +%s) + 3600))" >/dev/null
sleep 1
date -s "@$(($(date +%s) - 3600))" >/dev/null
sleep 1
killall httpd
exit 3
