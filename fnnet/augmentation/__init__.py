"""Augmentation: random changes of batches of images, compiled with the step that sees them.

Each function returns a transform, ``transform(key, batch) -> batch``, for ``fn.fit(..., transform=...)`` or ``fn.run``.
A batch is (x, y) or (x, y, weight), x images (n, H, W, C). Row i of what is drawn depends on the key and on i alone.
"""

from fnnet.augmentation.batches import Transform, chain
from fnnet.augmentation.colours import color
from fnnet.augmentation.following import Target
from fnnet.augmentation.geometric import affine, crop, flip, resized_crop, rotation
from fnnet.augmentation.mixing import cutmix, mixup
from fnnet.augmentation.occlusion import erasing

__all__ = [
    "Target",
    "Transform",
    "affine",
    "chain",
    "color",
    "crop",
    "cutmix",
    "erasing",
    "flip",
    "mixup",
    "resized_crop",
    "rotation",
]
