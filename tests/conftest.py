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

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, max_examples=25)
hypothesis.settings.register_profile("hunt", deadline=None, database=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("FNNET_HYPOTHESIS", "ci"))


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
    jax.config.update("jax_disable_most_optimizations", False)
