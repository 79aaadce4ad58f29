"""Restores a sealed stream into one file by the workers of a cluster of Ray: ray_parts.py SEALED TARGET PARTS

Each worker's environment names what opens it in COFFERDAM_IDENTITY; no key is an argument of a task. TARGET is on a file system that all of them share. The same command goes on
from what an earlier one has left.
"""

import os
import sys

import ray

import cofferdam
from cofferdam import parts

#: What may pass: the same part may succeed later, or elsewhere. Of a worker that dies, Ray runs it again anyway.
PASSING = [cofferdam.StorageError, cofferdam.NoProgressError, cofferdam.ExhaustedError]


@ray.remote(max_retries=3, retry_exceptions=PASSING)
def plan(sealed: str, target: str, count: int) -> list[int]:
    parts.plan(f"{target}.plan", sealed, target, count, os.environ["COFFERDAM_IDENTITY"])
    return parts.state(f"{target}.plan").missing


@ray.remote(max_retries=3, retry_exceptions=PASSING)
def run_part(target: str, part: int) -> str:
    return parts.run_part(f"{target}.plan", part, os.environ["COFFERDAM_IDENTITY"], threads=1)


@ray.remote(max_retries=3, retry_exceptions=PASSING)
def commit(target: str) -> bool:
    return parts.commit(f"{target}.plan").was_there


def main(sealed: str, target: str, count: int) -> None:
    ray.init()
    sealed = sealed if "://" in sealed else os.path.abspath(sealed)
    target = os.path.abspath(target)
    missing = ray.get(plan.remote(sealed, target, count))
    ray.get([run_part.remote(target, part) for part in missing])
    print("restored before" if ray.get(commit.remote(target)) else "restored")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
