#!/bin/sh
# Installs programs, manual pages, completions, the schema and systemd units.
#
#   cargo build --release && packaging/install.sh [PREFIX]        (default /usr/local)
#
# DESTDIR is put in front of every path, for making packages; BUILD is where the programs were built (default target/release).
# What lies where does not depend on PREFIX alone: sockets, logs and databases are in Debian's places for Open vSwitch, see
# ferroswitch-options(7).
set -eu
cd "$(dirname "$0")/.."

prefix=${1:-/usr/local}
build=${BUILD:-target/release}
dest=${DESTDIR:-}$prefix

case $prefix in
    /*) ;;
    *) echo "install.sh: PREFIX must be an absolute path, not $prefix" >&2; exit 1 ;;
esac

programs="ferroswitch ovs-vswitchd ovsdb-server ovs-vsctl ovs-appctl ovs-dpctl ovs-ofctl ovs-pcap ovs-pki ovs-tcpundump ovs-testcontroller ovsdb-client ovsdb-tool"
for program in $programs; do
    if [ ! -x "$build/$program" ]; then
        echo "install.sh: $build/$program is not there; build first: cargo build --release" >&2
        exit 1
    fi
done

# put MODE FILE TARGET: copies a file, making folders as needed.
put() {
    install -D -m "$1" "$2" "$3"
    echo "$3"
}

for program in $programs; do
    put 755 "$build/$program" "$dest/bin/$program"
done

for page in docs/man/*; do
    put 644 "$page" "$dest/share/man/man${page##*.}/${page##*/}"
done

for file in docs/*.md README.md CHANGELOG.md LICENSE; do
    put 644 "$file" "$dest/share/doc/ferroswitch/${file##*/}"
done

# bash loads a completion by the program's name.
completions=$dest/share/bash-completion/completions
for file in crates/cli/completions/*.bash; do
    name=${file##*/}
    put 644 "$file" "$completions/${name%.bash}"
done
for program in ovs-vswitchd ovsdb-server ovsdb-client ovsdb-tool ovs-testcontroller; do
    ln -sf ferroswitch "$completions/$program"
done

put 644 crates/vswitch-schema/vswitch.ovsschema "$dest/share/openvswitch/vswitch.ovsschema"

for unit in packaging/systemd/*; do
    target=$dest/lib/systemd/system/${unit##*/}
    put 644 "$unit" "$target"
    sed -i "s|@PREFIX@|$prefix|g" "$target"
done
