"""Ctrl-C and SIGTERM as a wish that a run ends, at its next step boundary."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM came; a second one ends the process's work at once.

    Outside the main thread, where Python takes no signals, the answer is always False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # one that was not set from Python stays
                signal.signal(number, handler)

    def listen(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        restore()

    for number, handler in before.items():
        if handler is not None:
            signal.signal(number, listen)
    try:
        yield lambda: asked
    finally:
        restore()
