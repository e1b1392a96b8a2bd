#!/usr/bin/python3
"""python3-etcd3 (Debian) against a node: put, get, delete, transactions. Ends with "N passed, N failed"."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import python_cases  # noqa: E402


def put_and_get(client, _node):
    client.put("a", "1")
    value, meta = client.get("a")
    assert value == b"1" and meta.key == b"a" and meta.version == 1, (value, meta)
    client.put("a", b"\x00\xff")
    value, meta = client.get("a", serializable=True)
    assert value == b"\x00\xff" and meta.version == 2, (value, meta)


def get_missing(client, _node):
    assert client.get("missing") == (None, None)


def put_prev_kv(client, _node):
    client.put("p", "1")
    assert client.put("p", "2", prev_kv=True).prev_kv.value == b"1"


def put_if_not_exists(client, _node):
    assert client.put_if_not_exists("once", "1")
    assert not client.put_if_not_exists("once", "2")
    assert client.get("once")[0] == b"1"


def replace(client, _node):
    client.put("r", "1")
    assert client.replace("r", "1", "2")
    assert not client.replace("r", "1", "3")
    assert client.get("r")[0] == b"2"


def prefix_and_range(client, _node):
    for number in range(5):
        client.put(f"k/{number}", str(number))
    assert [value for value, _ in client.get_prefix("k/")] == [b"0", b"1", b"2", b"3", b"4"]
    backwards = client.get_prefix("k/", sort_order="descend", sort_target="key")
    assert [value for value, _ in backwards] == [b"4", b"3", b"2", b"1", b"0"]
    assert [value for value, _ in client.get_range("k/1", "k/3")] == [b"1", b"2"]
    assert len(list(client.get_all())) >= 5


def delete(client, _node):
    client.put("d", "1")
    assert client.delete("d")
    assert not client.delete("d")
    assert client.delete("k/0", prev_kv=True, return_response=True).prev_kvs[0].value == b"0"
    assert client.delete_prefix("k/").deleted == 4


def transactions(client, _node):
    tx = client.transactions
    client.put("t", "1")
    done, answers = client.transaction(
        compare=[tx.value("t") == "1", tx.version("t") > 0, tx.create("no") == 0],
        success=[tx.put("t", "2"), tx.get("t"), tx.delete("no")], failure=[tx.put("t", "bad")])
    assert done and answers[1][0][0] == b"2", answers
    done, answers = client.transaction(
        compare=[tx.value("t") == "1"], success=[tx.put("t", "bad")], failure=[tx.get("t")])
    assert not done and answers[0][0][0] == b"2", answers


def nested_transaction(client, _node):
    tx = client.transactions
    done, _ = client.transaction(
        compare=[tx.version("n") == 0],
        success=[tx.txn(compare=[tx.version("n") == 0], success=[tx.put("n", "inner")], failure=[])], failure=[])
    assert done and client.get("n")[0] == b"inner"


def compact_and_history(client, _node):
    client.put("h", "1")
    _, meta = client.get("h")
    client.compact(meta.mod_revision)
    assert client.get("h")[0] == b"1"


def status_and_members(client, _node):
    status = client.status()
    assert status.version == "3.7.1" and status.leader is not None, status.version
    members = list(client.members)
    assert len(members) == 1 and members[0].name == "default", members


CASES = [put_and_get, get_missing, put_prev_kv, put_if_not_exists, replace, prefix_and_range, delete, transactions,
         nested_transaction, compact_and_history, status_and_members]

if __name__ == "__main__":
    sys.exit(python_cases.run("python", CASES))
