"""The run-time checker of the annotations of fnnet, used where ``FNNET_CHECK_TYPES=1`` (see conftest.py).

An int is a float, as PEP 484 has it.
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
