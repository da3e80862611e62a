"""What a run tells the host between chunks, and what a listener may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from fnnet.core import TrainState
from fnnet.training import Address

Kind: TypeAlias = Literal["start", "chunk", "epoch", "end"]

Ended: TypeAlias = Literal["steps", "callback", "interrupt", "nonfinite", "data", "error"]


class Fit(NamedTuple):
    """A run so far, or its result.

    `history`: columns with a row a step (see ``fn.Record``). `metrics`: columns with a row an epoch: ``epoch``,
    ``step``, ``loss`` (mean since the last row, without skipped batches) and, with validation data, ``val_loss`` and
    ``val_`` each metric.
    `ended`: why the run is over: all ``"steps"`` are made, a ``"callback"`` asked to stop, an ``"interrupt"`` (Ctrl-C,
    SIGTERM), a value that is not finite (``"nonfinite"``, then `address` tells where it arose), a stream that gave no
    more ``"data"``, or an ``"error"``. `first`: the updates made before the run. `position`: of a stream that knows its
    own, where it stood at a step not long before the last. `kept`: the states that callbacks asked to keep, by name.
    """

    state: TrainState
    history: dict[str, Any]
    metrics: dict[str, Any]
    ended: Ended = "steps"
    address: Address | None = None
    first: int = 0
    position: Mapping[str, Any] | None = None
    kept: Mapping[str, TrainState] = {}


class Event(NamedTuple):
    """What a callback is told, at the ``"start"``, after each ``"chunk"``, each ``"epoch"``, and at the ``"end"``.

    `logs` holds the mean training loss since the last event of its kind and, for an epoch, the validation metrics under
    ``val_`` names. `seconds` have passed since the start. `state` is valid during the call only: the next chunk may
    reuse its buffers (it does with ``on_nonfinite="skip"``). ``so_far()`` is the run up to here, with the same state.
    The end is told even if an error breaks the run off; its `state` may then be gone. ``settings()`` are those by which
    the number of a step says what it sees: of what JSON has, functions as digests.
    """

    kind: Kind
    step: int
    steps: int
    steps_an_epoch: int
    batch_size: int
    seconds: float
    logs: dict[str, Any]
    state: TrainState
    so_far: Callable[[], Fit]
    settings: Callable[[], Mapping[str, Any]] = dict


class Decision(NamedTuple):
    """What a callback may answer: whether the run is to stop, a state to go on from, states to keep by name.

    The state is put in place once every callback was told the event, of several the last one's; the history keeps the
    rows of all steps that were made. At the end it is the state of the result: a checkpoint holds what was trained.
    What is to be kept is in ``Fit.kept`` from then on, in a checkpoint too, until another takes the name.
    """

    stop: bool = False
    state: TrainState | None = None
    keep: Mapping[str, TrainState] = {}


Callback: TypeAlias = Callable[[Event], "bool | Decision | None"]
"""Called with every event; answering True, or a ``Decision``, it ends the run after it or changes its state."""


@dataclass(frozen=True)
class LogsOnly:
    """A callback that looks at the numbers of an event alone: not at its state, nor at the run so far.

    A run without validation data whose callbacks are all such does not break off at every epoch: where epochs are
    short, several are made at once and told one after another, each with its own step and logs, and the seconds at
    which it ended by the steps of the chunk. A decision to stop then ends the run after the last of them.
    Raises: TypeError if it answers with a state.

    >>> losses = []
    >>> listen = fn.callbacks.LogsOnly(lambda event: losses.append(event.logs.get("loss")))
    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.0)), jnp.zeros((4, 1))
    >>> _ = fn.fit(task, (x, x), key=jax.random.key(0), epochs=1, batch_size=4, callbacks=[listen])
    >>> losses  # at the start, of a chunk, of an epoch, at the end
    [None, 0.0, 0.0, 0.0]
    """

    tell: Callback

    def __call__(self, event: Event) -> bool | Decision | None:
        """Tell it the event."""
        answer = self.tell(event)
        if isinstance(answer, Decision) and (answer.state is not None or answer.keep):
            name = getattr(self.tell, "__name__", repr(self.tell))
            raise TypeError(f"LogsOnly: {name} answers with a state; pass it to fit as it is, without LogsOnly")
        return answer
