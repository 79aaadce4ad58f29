"""What a restore by the workers of a Dask cluster costs beside one process: parts-dask.py DIRECTORY ROUNDS WORKERS

DIRECTORY is on the file system that is measured, and has s.cfd, sealed for the identity in the file `key.txt` there. The workers are processes of one thread,
and have been started before; the stream is cut as by default, in four parts for each. Samples take turns.
"""

import os
import shutil
import sys
import time
from pathlib import Path

import cofferdam
import cofferdam.distributed
from distributed import Client, LocalCluster


def one_process(directory):
    """Milliseconds."""
    begun = time.perf_counter()
    cofferdam.restore(directory / "s.cfd", directory / "one", directory / "key.txt")
    return round(1000 * (time.perf_counter() - begun))


def by_workers(client, directory):
    """Milliseconds of planning, of all parts, and of the commit."""
    reached = [time.perf_counter()]

    def look(progress):
        if progress.parts_done in (0, progress.parts):
            reached.append(time.perf_counter())

    cofferdam.distributed.restore(
        client, directory / "s.cfd", directory / "two", plan=directory / "plan", identity=directory / "key.txt", progress=look
    )
    return [round(1000 * (after - before)) for before, after in zip(reached, reached[1:])]


def remove(directory):
    for path in [directory / "one", directory / "two", *directory.glob("plan*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    os.sync()


def main(directory, rounds, workers):
    cluster = LocalCluster(processes=True, n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0)
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        for number in range(1, rounds + 1):
            remove(directory)
            one = one_process(directory)
            remove(directory)
            plan, parts, commit = by_workers(client, directory)
            every = plan + parts + commit
            print(f"{number}: one {one} ms; plan {plan}, parts {parts}, commit {commit}: {every} ms; ratio {every / one:.2f}", flush=True)
        remove(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), int(sys.argv[2]), int(sys.argv[3]))
