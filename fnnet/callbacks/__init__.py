"""What a run tells the host between chunks, and the functions that listen: they show, record, save, or end the run."""

from fnnet.callbacks.events import Callback, Decision, Event, Fit, Kind, LogsOnly
from fnnet.callbacks.progress import describe, format_scalar, progress
from fnnet.callbacks.saving import Checkpoint, checkpoint
from fnnet.callbacks.stopping import early_stopping, time_limit

__all__ = [
    "Callback",
    "Checkpoint",
    "Decision",
    "Event",
    "Fit",
    "Kind",
    "LogsOnly",
    "checkpoint",
    "describe",
    "early_stopping",
    "format_scalar",
    "progress",
    "time_limit",
]
