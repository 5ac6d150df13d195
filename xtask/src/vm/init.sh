#!/bin/sh
# The first process of the virtual machine: mounts, records the workload, hands the bundle out, ends.
# What stands on lines that begin with "stillframe:" is read by `cargo xtask vm`.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tracefs trace /sys/kernel/tracing
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs tmp /tmp
# Some need others, in an order that differs by kernel.
for turn in 1 2 3 4; do
	for module in /modules/*.ko; do insmod "$module" 2>/dev/null; done
done
ip link set lo up
mount -t ext4 /dev/vda /data || echo "stillframe: no disk"
echo "stillframe: kernel $(uname -r)"
capture --quiet --skip-missing --max-size 32MiB --max-memory 32MiB -o /tmp/x.capture.tar.zst -- /work.sh
echo "stillframe: capture $?"
size=$(stat -c %s /tmp/x.capture.tar.zst)
dd if=/tmp/x.capture.tar.zst of=/dev/vdb bs=64k conv=fsync 2>/dev/null
echo "stillframe: bundle $size"
reboot -f
