"""Every test runs strict: promotion of dtypes and ranks is asked for, never implied."""

from __future__ import annotations

import os

import hypothesis
import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_check_tracer_leaks", os.environ.get("FNNET_CHECK_LEAKS") == "1")

if programs := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    # A folder for each worker and its children: JAX writes entries in place, and another reader may find half of one.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(programs, os.environ.get("PYTEST_XDIST_WORKER", "main"))
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])

if os.environ.get("FNNET_CHECK_TYPES") == "1":
    # The shapes, dtypes and types that fnnet is annotated with are checked at each call.
    jaxtyping.install_import_hook("fnnet", "runtime_types.check")

# What is run a second time, for its types or tracers alone, has been computed with all optimizations in the first.
IS_SECOND_RUN = "1" in (os.environ.get("FNNET_CHECK_TYPES"), os.environ.get("FNNET_CHECK_LEAKS"))
jax.config.update("jax_disable_most_optimizations", IS_SECOND_RUN)

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, max_examples=25)
hypothesis.settings.register_profile("hunt", deadline=None, database=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("FNNET_HYPOTHESIS", "ci"))


# Each compiled program keeps some pieces of memory mapped. Linux maps 65 530 for a process and no more, and one that
# is refused another crashes: here, after some two thousand tests.
MAPPED_PIECES = 20_000


def _mapped_pieces() -> int:
    try:
        with open("/proc/self/maps") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return 0


def _forget_programs_when_many() -> None:
    if _mapped_pieces() > MAPPED_PIECES:
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Compiled programs are forgotten before they are too many."""
    yield
    _forget_programs_when_many()


@pytest.fixture
def few_programs():
    """The same after one test of a module whose tests compile much."""
    yield
    _forget_programs_when_many()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Run one test in float64."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def quickly_compiled():
    """Programs that run for a moment are compiled without most optimizations, which takes less."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", IS_SECOND_RUN)


# Where networks are put to use, or compiled programs are run for a moment.
QUICK_ROOMS = {"cli", "data", "documents", "inspection", "layouts", "nets", "plotting", "studies", "sweeps", "testing"}


@pytest.fixture(autouse=True)
def _quickly_compiled_in_some_rooms(request):
    if request.path.parent.name in QUICK_ROOMS:
        request.getfixturevalue("quickly_compiled")


@pytest.fixture
def programs_of(caplog):
    """Return the function that counts the programs which a call compiles."""

    def count(call):
        with jax.log_compiles():
            caplog.clear()
            call()
            return sum("Compiling" in record.getMessage() for record in caplog.records)

    assert count(lambda: jax.jit(lambda x: x + 1)(0)) > 0
    return count


@pytest.fixture
def columns_chosen(monkeypatch):
    """Convolutions are computed as columns, whose programs take half as long to compile as Winograd's."""
    monkeypatch.setattr("fnnet.layers.correlation.choice.choice", lambda *_: "columns")
