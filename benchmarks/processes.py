"""Contestants in processes of their own, each of which waits while another is timed.

The thread pools of several libraries in one process get into each other's way.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from importlib.metadata import PackageNotFoundError, version


def versions(*names):
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def serve(pipe, make, arguments):
    """Make a run and compile it, then send the seconds of a run, and the most memory so far, whenever asked for."""
    run = make(*arguments)
    run()
    pipe.send(None)
    while pipe.recv():
        start = time.perf_counter()
        run()
        pipe.send((time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def started(make, *arguments):
    """Start a process that runs ``make(*arguments)()`` when `timed` asks it to, and wait until it has compiled."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    spawn.Process(target=serve, args=(theirs, make, arguments), daemon=True).start()
    theirs.close()  # so that the end of a process that failed is noticed
    ours.recv()
    return ours


def timed(pipe):
    """Return the seconds of one run, and the most memory that its process has had, in MB."""
    pipe.send(True)
    return pipe.recv()


def stop(pipe):
    pipe.send(False)
