# Makes the smallest real guest out of Debian's packages, in the folder $1: vmlinuz, and initramfs.cpio.gz with busybox, the
# drivers for virtio-net and iperf3. Installs nothing. On the kernel's command line, `vmip=` gives addresses to eth0, eth1 ...
set -eu
out=$1
[ -e "$out/initramfs.cpio.gz" ] && exit 0
rm -rf "$out/work"
mkdir -p "$out/work"
cd "$out/work"
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
apt-get download "$kernel" busybox-static >/dev/null
dpkg -x "$kernel"_*.deb kernel
dpkg -x busybox-static_*.deb busybox
cp kernel/boot/vmlinuz-* "$out/vmlinuz"
root=$PWD/root
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/modules"
cp busybox/bin/busybox "$root/bin/"
for name in $("$root/bin/busybox" --list); do
    [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
done
n=10
for module in virtio/virtio_ring virtio/virtio virtio/virtio_pci_modern_dev virtio/virtio_pci_legacy_dev virtio/virtio_pci \
    ../net/core/failover net/net_failover net/virtio_net; do
    cp kernel/lib/modules/*/kernel/drivers/$module.ko "$root/modules/$n.ko"
    n=$((n + 1))
done
iperf3=$(command -v iperf3)
cp "$iperf3" "$root/bin/"
for library in $(ldd "$iperf3" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
export PATH=/bin HOME=/ PS1=
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
for module in /modules/*.ko; do insmod $module; done
ip link set lo up
n=0
for word in $(cat /proc/cmdline); do
    case $word in vmip=*)
        for address in $(echo ${word#vmip=} | tr , ' '); do
            ip link set eth$n mtu 1450 up; ip addr add $address dev eth$n; n=$((n + 1))
        done ;;
    esac
done
stty -echo
echo GUEST-READY
while :; do setsid -c sh -i; done
INIT
chmod +x "$root/init"
(cd "$root" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$out/new"
mv "$out/new" "$out/initramfs.cpio.gz"
rm -rf "$out/work"
