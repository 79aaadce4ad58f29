"""One stream restored into one file or directory, or one object in a store, by many processes, on one machine or on many, which share a file system and nothing else.

>>> import cofferdam
>>> from cofferdam import parts
>>> identity = cofferdam.Identity.generate()
>>> sealed = cofferdam.seal(bytes(9 << 20), "db.cfd", identity.recipient)
>>> plan = parts.plan("db.plan", "db.cfd", "db", 2, identity)
>>> [parts.run_part("db.plan", part, identity) for part in range(len(plan))]  # each anywhere, as often as one likes
['written', 'written']
>>> parts.state("db.plan").missing
[]
>>> parts.commit("db.plan").was_there
False
>>> parts.commit("db.plan").was_there  # the second run does nothing
True

It starts no process and speaks to none: :mod:`cofferdam.distributed` does, and any engine that runs tasks can. The calls are the command's steps
(``restore --plan``), on the same files, and go together with them. Each may be killed, made again, and made twice at once; until :func:`commit` the
target is as it was.

Where the target is the URL of an object, parts are sent to one upload, and the store puts them together when the plan is committed; credentials are
those of each process's environment. The files between the processes are then beside the plan.

The plan's key is in a file: the one that ``COFFERDAM_PLAN_KEY`` names, or else the plan's name with ``.key`` behind it. Whoever has it can have any bytes taken for a part; it opens no stream.
"""

from ._native import (
    Committed,
    Plan,
    State,
    commit_plan as commit,
    give_up_plan as give_up,
    plan_restore as plan,
    read_plan as read,
    run_part,
    state_of_plan as state,
)

__all__ = ["Committed", "Plan", "State", "commit", "give_up", "plan", "read", "run_part", "state"]
