"""What is kept on disk: weights as safetensors, and snapshots of a whole run on Orbax."""

from fnnet.checkpoints.saving import Writer, writer
from fnnet.checkpoints.snapshots import Snapshot, best_step, restore, steps
from fnnet.checkpoints.weights import FORMAT, load_weights, save_weights

__all__ = ["FORMAT", "Snapshot", "Writer", "best_step", "load_weights", "restore", "save_weights", "steps", "writer"]
