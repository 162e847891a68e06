# SPDX-License-Identifier: GPL-2.0-or-later
"""sqlite.py write FILE WHO COUNT: so many transactions on a database that others use.
sqlite.py check FILE: whether it is whole, and whose rows it has, and how many of these
differ."""
import sqlite3
import sys
import time


def transaction(db, who, n):
    db.execute("begin immediate")
    db.execute("select count(*) from rows").fetchone()
    db.execute("insert into rows values (?, ?, ?)", (who, n, "x" * (n * 37 % 3000)))
    db.execute("commit")


def write(db, who, count):
    db.execute("pragma journal_mode=wal")
    db.execute("create table if not exists rows (who text, n integer, pad text)")
    for n in range(int(count)):
        transaction(db, who, n)
        time.sleep(0.01)


def check(db):
    print(db.execute("pragma integrity_check").fetchone()[0], end="")
    for row in db.execute("select who, count(*), count(distinct n) from rows group by who"):
        print("", *row, end="")
    print()


connection = sqlite3.connect(sys.argv[2], timeout=60, isolation_level=None)
{"write": write, "check": check}[sys.argv[1]](connection, *sys.argv[3:])
