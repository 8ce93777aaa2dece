"""Drives daemons by Debian's python3-openvswitch: `read`, `write`, `conflict` by its database replica, `unixctl COMMAND` by
its control-socket client."""

import os
import sys

import ovs.db.idl
import ovs.poller
import ovs.unixctl.client

RUNDIR = os.environ["OVS_RUNDIR"]
SCHEMA = os.environ["SCHEMA"]


def connect():
    helper = ovs.db.idl.SchemaHelper(location=SCHEMA)
    helper.register_columns("Open_vSwitch", ["bridges", "external_ids"])
    helper.register_columns("Bridge", ["name", "ports", "fail_mode", "external_ids"])
    helper.register_columns("Port", ["name", "interfaces", "tag"])
    helper.register_columns("Interface", ["name", "type", "ofport"])
    idl = ovs.db.idl.Idl("unix:%s/db.sock" % RUNDIR, helper)
    run_until(idl, lambda: idl.has_ever_connected() and idl.tables["Open_vSwitch"].rows)
    return idl


def run_until(idl, done):
    for _ in range(1000):
        idl.run()
        if done():
            return
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.timer_wait(100)
        poller.block()
    sys.exit("no answer from the database")


def commit(idl, txn):
    status = txn.commit_block()
    print(status, txn.get_error() or "")


def read():
    idl = connect()
    for bridge in sorted(idl.tables["Bridge"].rows.values(), key=lambda b: b.name):
        print(bridge.name, bridge.fail_mode)
        for port in sorted(bridge.ports, key=lambda p: p.name):
            print("  ", port.name, port.tag, [(i.name, i.type, i.ofport) for i in port.interfaces])
    idl.close()


def bridge(idl, name):
    return next(b for b in idl.tables["Bridge"].rows.values() if b.name == name)


def write():
    idl = connect()
    txn = ovs.db.idl.Transaction(idl)
    bridge(idl, "br0").setkey("external_ids", "python", "was here")
    txn.add_comment("python")
    commit(idl, txn)
    idl.close()


def conflict():
    """A transaction that relies on what is no longer true has to be tried again."""
    first, second = connect(), connect()
    one, two = ovs.db.idl.Transaction(first), ovs.db.idl.Transaction(second)
    for idl, value in ((first, "a"), (second, "b")):
        row = bridge(idl, "br0")
        row.verify("external_ids")
        row.external_ids = dict(row.external_ids, contended=value)
    commit(first, one)
    commit(second, two)
    first.close()
    second.close()


def unixctl(command, *args):
    with open("%s/ovs-vswitchd.pid" % RUNDIR) as f:
        path = "%s/ovs-vswitchd.%s.ctl" % (RUNDIR, f.read().strip())
    error, client = ovs.unixctl.client.UnixctlClient.create(path)
    if error:
        sys.exit(os.strerror(error))
    error, text, result = client.transact(command, list(args))
    print(error, repr(text), repr(result))


if __name__ == "__main__":
    {"read": read, "write": write, "conflict": conflict, "unixctl": unixctl}[sys.argv[1]](*sys.argv[2:])
