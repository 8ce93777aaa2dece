"""A session with a database server by the Python packages `ovs` and `ovsdbapp`: prints what it sees, without what is random.

usage: session.py SOCKET CONTROL_SOCKET SCHEMA    (of the database OVN_Northbound)
"""

import sys

import ovs.db.idl
import ovs.poller
import ovs.unixctl.client
from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.ovn_northbound import impl_idl

SOCKET, CONTROL, SCHEMA = sys.argv[1:4]
REMOTE = "unix:" + SOCKET


def say(what, *values):
    print(what, *values, flush=True)


def until(idls, done, limit=20000):
    """Runs the replicas until `done()`."""
    end = ovs.timeval.msec() + limit
    while not done():
        if ovs.timeval.msec() > end:
            raise SystemExit("waited in vain")
        poller = ovs.poller.Poller()
        for idl in idls:
            idl.run()
            idl.wait(poller)
        if done():
            return
        poller.timer_wait(100)
        poller.block()


def commit(idl, change):
    """Makes a transaction of what `change` does, again for as long as it has to be tried again."""
    for _ in range(1000):
        until([idl], lambda: idl.has_ever_connected() and idl._session.is_connected())
        txn = ovs.db.idl.Transaction(idl)
        change(txn)
        status = txn.commit_block()
        idl.run()
        if status != ovs.db.idl.Transaction.TRY_AGAIN:
            return ovs.db.idl.Transaction.status_to_string(status)


def replica(tables):
    helper = ovs.db.idl.SchemaHelper(location=SCHEMA)
    for table, columns in tables.items():
        helper.register_columns(table, columns)
    return ovs.db.idl.Idl(REMOTE, helper)


def switches(idl):
    return sorted((row.name, sorted(row.external_ids.items())) for row in idl.tables["Logical_Switch"].rows.values())


COLUMNS = {"Logical_Switch": ["name", "external_ids", "other_config"]}

# Two replicas: one sees everything, one only what its condition lets through.
whole, part = replica(COLUMNS), replica(COLUMNS)
part.cond_change("Logical_Switch", [["name", "==", "a"], ["external_ids", "includes", ["map", [["mine", "yes"]]]]])
until([whole, part], lambda: whole.change_seqno and part.change_seqno)
say("at first", switches(whole), switches(part))


def insert(name, ids):
    def change(txn):
        row = txn.insert(whole.tables["Logical_Switch"])
        row.name = name
        row.external_ids = ids
    return change


say("insert a", commit(whole, insert("a", {"k": "v"})))
say("insert b", commit(whole, insert("b", {})))
say("insert c", commit(whole, insert("c", {"mine": "yes"})))
until([whole, part], lambda: len(switches(whole)) == 3 and len(switches(part)) == 2)
say("after inserting", switches(whole), switches(part))

# A row comes into view, another leaves it.
by_name = {row.name: row for row in whole.tables["Logical_Switch"].rows.values()}


def move(txn):
    by_name["b"].setkey("external_ids", "mine", "yes")
    by_name["c"].delkey("external_ids", "mine")


say("move", commit(whole, move))
until([whole, part], lambda: [name for name, _ in switches(part)] == ["a", "b"])
say("after moving", switches(whole), switches(part))

# Another condition, while connected.
part.cond_change("Logical_Switch", [["name", "!=", "a"]])
until([whole, part], lambda: [name for name, _ in switches(part)] == ["b", "c"])
say("another condition", switches(part))

# Every client is disconnected; both come back and miss nothing.
error, client = ovs.unixctl.client.UnixctlClient.create(CONTROL)
say("reconnect", error, client.transact("ovsdb-server/reconnect", [])[:2])
say("insert d", commit(whole, insert("d", {})))
until([whole, part], lambda: len(switches(whole)) == 4 and len(switches(part)) == 3)
say("after reconnecting", switches(whole), switches(part))

# A lock has one owner; the next gets it when that one is gone.
whole.set_lock("the_lock")
until([whole], lambda: whole.has_lock)
part.set_lock("the_lock")
until([whole, part], lambda: part.is_lock_contended)
say("lock", whole.has_lock, part.has_lock)
say("without the lock", commit(part, lambda txn: txn.insert(part.tables["Logical_Switch"])))
whole.set_lock(None)
until([whole, part], lambda: part.has_lock)
say("released", whole.has_lock, part.has_lock)
part.set_lock(None)

# Two transactions that verified the same value: the second has to look again.
first, second = replica(COLUMNS), replica(COLUMNS)
until([first, second], lambda: first.change_seqno and second.change_seqno)


def count(idl):
    row = next(row for row in idl.tables["Logical_Switch"].rows.values() if row.name == "d")
    txn = ovs.db.idl.Transaction(idl)
    row.verify("other_config")
    row.other_config = {"n": str(int(row.other_config.get("n", "0")) + 1)}
    return txn


one, two = count(first), count(second)
say("first", ovs.db.idl.Transaction.status_to_string(one.commit_block()))
say("conflict", ovs.db.idl.Transaction.status_to_string(two.commit_block()))
until([second], lambda: any(row.other_config.get("n") == "1" for row in second.tables["Logical_Switch"].rows.values()))
say("again", ovs.db.idl.Transaction.status_to_string(count(second).commit_block()))
until([first], lambda: any(row.other_config.get("n") == "2" for row in first.tables["Logical_Switch"].rows.values()))
say("counted", [row.other_config for row in first.tables["Logical_Switch"].rows.values() if row.name == "d"])


def violate(txn):
    for _ in range(2):
        txn.insert(whole.tables["Logical_Switch"]).other_config = {"x": "y"}
    txn.insert(whole.tables["Logical_Switch"]).name = "e"


say("several at once", commit(whole, violate))

# The same server by ovsdbapp.
idl = connection.OvsdbIdl.from_server(REMOTE, "OVN_Northbound")
api = impl_idl.OvnNbApiIdlImpl(connection.Connection(idl, timeout=20))
with api.transaction(check_error=True) as txn:
    txn.add(api.ls_add("app", external_ids={"by": "ovsdbapp"}))
    txn.add(api.lr_add("router"))
    txn.add(api.dhcp_options_add("10.0.0.0/24"))
with api.transaction(check_error=True) as txn:
    txn.add(api.lsp_add("app", "app-p1", type="localnet"))
    txn.add(api.lrp_add("router", "router-p1", "00:00:00:00:00:01", ["10.0.0.1/24"]))
    txn.add(api.acl_add("app", "to-lport", 1000, "ip4", "drop"))
say("switches", sorted(row.name for row in api.ls_list().execute(check_error=True) if row.external_ids))
say("ports", [row.name for row in api.lsp_list("app").execute(check_error=True)])
say("rules", [(row.priority, row.match, row.action) for row in api.acl_list("app").execute(check_error=True)])
try:
    api.lsp_add("nowhere", "port").execute(check_error=True)
except Exception as error:
    say("refused", type(error).__name__, error)
try:
    api.db_set("Logical_Switch", "app", ("nonsense", 1)).execute(check_error=True)
except Exception as error:
    say("refused", type(error).__name__, error)
api.ls_del("app").execute(check_error=True)
say("ports left", api.db_list("Logical_Switch_Port").execute(check_error=True))
say("done")
