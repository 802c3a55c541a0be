"""The environment of a kernel: the settings that can change numbers, fixed by the engine, and the user's own files kept out."""

import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from masklib.engine.environments import find_environment
from masklib.engine.kernels.choosing import THIS, Kernel, find_kernel
from masklib.extras import BACKENDS, installed_backends

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # of the client that XLA has on a CPU, so of JAX
)
XLA_THREADS = "--xla_cpu_multi_thread_eigen"
# The variables that are known to change numbers, by the library that reads them. What the user has set of them is part of a run's
# identity and stands in its record; no other variable does, whatever its name begins with: it may be a password.
NUMERIC: dict[str, tuple[str, ...]] = {
    "Keras": (
        *("KERAS_BACKEND", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED", "KERAS_TORCH_DEVICE"),
        "TF_USE_LEGACY_KERAS",
    ),
    "TensorFlow": (
        *("TF_AUTOTUNE_THRESHOLD", "TF_CUDNN_DETERMINISTIC", "TF_CUDNN_USE_AUTOTUNE", "TF_DETERMINISTIC_OPS", "TF_DISABLE_MKL"),
        *("TF_ENABLE_AUTO_MIXED_PRECISION", "TF_ENABLE_ONEDNN_OPTS", "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32"),
        *("TF_ENABLE_CUDNN_TENSOR_OP_MATH_FP32", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_SET_ONEDNN_FPMATH_MODE", "TF_XLA_FLAGS"),
    ),
    "JAX": (
        *("JAX_ALLOW_F16_REDUCTIONS", "JAX_DEFAULT_DEVICE", "JAX_DEFAULT_DTYPE_BITS", "JAX_DEFAULT_MATMUL_PRECISION"),
        *("JAX_DEFAULT_PRNG_IMPL", "JAX_DISABLE_JIT", "JAX_ENABLE_CUSTOM_PRNG", "JAX_ENABLE_X64", "JAX_EXPLICIT_X64_DTYPES"),
        *("JAX_HIGH_DYNAMIC_RANGE_GUMBEL", "JAX_NUMPY_DTYPE_PROMOTION", "JAX_OPTIMIZATION_LEVEL", "JAX_PLATFORMS"),
        *("JAX_PLATFORM_NAME", "JAX_RANDOM_SEED_OFFSET", "JAX_SOFTMAX_CUSTOM_JVP", "JAX_THREEFRY_PARTITIONABLE"),
    ),
    "PyTorch": ("ATEN_CPU_CAPABILITY", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    "XLA": ("XLA_FLAGS",),
    "NumPy": ("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    "linear algebra": (
        *("MKL_CBWR", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE", "OMP_DYNAMIC", "OMP_SCHEDULE"),
        *("DNNL_DEFAULT_FPMATH_MODE", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA"),
    ),
    "GPU": (
        *("CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE"),
        *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
    ),
}
KERNEL_VARIABLE = "MASKLIB_KERNEL"  # in the settings of a run: the name of its kernel, where that is not of this Python
ENVIRONMENT_VARIABLE = "MASKLIB_ENVIRONMENT"  # in the settings of a run: the name of the environment whose Python runs it
PYTHON_VARIABLE = "MASKLIB_PYTHON"  # in the environment of its kernel: that Python
SERVERS_VARIABLE = "MASKLIB_FORK_SERVERS"  # the parent's fork servers; see masklib.engine.kernels.servers
PRIVATE_VARIABLE = "MASKLIB_PRIVATE"  # where a worker makes its private folders; see masklib.engine.worker
SEARCHED = "PYTHONPATH"  # folders of modules: with other ones a notebook imports other code


def numeric_settings(threads: int = 1, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables that can change a run's numbers, sorted by name.

    Args:
        threads: threads of each numeric library; one gives the same sums in the same order on every machine.
        environment: the user's; `os.environ` by default. Its thread counts are overridden, its other settings kept.
    """
    environment = os.environ if environment is None else environment
    kept = {name: environment[name] for names in NUMERIC.values() for name in names if name in environment}
    flags = [flag for flag in kept.get("XLA_FLAGS", "").split() if not flag.startswith(XLA_THREADS)]
    fixed = {"PYTHONHASHSEED": "0", **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    fixed["XLA_FLAGS"] = " ".join([*flags, f"{XLA_THREADS}={str(threads > 1).lower()}"])
    searched = _join_paths(*map(os.path.abspath, filter(None, environment.get(SEARCHED, "").split(os.pathsep))))
    fixed |= {SEARCHED: searched} if searched else {}
    return dict(sorted({"KERAS_BACKEND": _default_backend(), **kept, **fixed}.items()))


@cache
def _default_backend() -> str:
    """Return the backend on which Keras runs where no other one is chosen: the first that is installed."""
    return next(iter(installed_backends() if find_spec("keras") else ()), BACKENDS[0])


def settings_for(settings: Mapping[str, str], backend: str | None, environment: str | None = None) -> dict[str, str]:
    """Return the settings of a run for which a backend of Keras or an environment is chosen: those then, not the user's.

    Raises:
        ArgumentError: there is no environment of that name.
    """
    chosen = {"KERAS_BACKEND": backend, ENVIRONMENT_VARIABLE: environment}
    if environment:
        chosen["KERAS_BACKEND"] = find_environment(environment).backend
    return {**settings, **{name: value for name, value in chosen.items() if value}}


def settings_in(settings: Mapping[str, str], kernel: Kernel) -> dict[str, str]:
    """Return the settings of a run in a kernel: with what its kernelspec sets of them, and its name."""
    if kernel.is_this:
        return dict(settings)
    told = numeric_settings(environment=kernel.variables)
    return {**settings, **{name: told[name] for name in kernel.variables if name in told}, KERNEL_VARIABLE: kernel.name}


def kernel_environment(settings: Mapping[str, str], private: Path) -> dict[str, str]:
    """Return the whole environment of a kernel: the user's, and what the engine fixes in it.

    The user's Keras configuration, IPython start-up files, matplotlibrc and `PYTHON...` variables but `PYTHONPATH` do not reach
    it: they could change results without being part of a run's identity.

    Args:
        settings: from `numeric_settings`.
        private: an empty folder for what the kernel writes about itself.
    """
    other = find_environment(settings[ENVIRONMENT_VARIABLE]) if ENVIRONMENT_VARIABLE in settings else None
    kernel = find_kernel(settings.get(KERNEL_VARIABLE, THIS))
    unwanted = (PYTHON_VARIABLE, "PYTHON", SERVERS_VARIABLE, PRIVATE_VARIABLE)
    planned = {
        *settings,
        *(name for names in NUMERIC.values() for name in names),
    }  # `settings` has those of the run, in their order
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and k not in planned}
    return {
        **inherited,
        **({**other.variables(), PYTHON_VARIABLE: str(other.python)} if other else {}),
        **kernel.variables,
        **({PYTHON_VARIABLE: kernel.python.executable} if kernel.python and kernel.forkable else {}),
        **settings,
        **({SEARCHED: _join_paths(other.variables()[SEARCHED], settings.get(SEARCHED, ""))} if other else {}),
        "TF_CPP_MIN_LOG_LEVEL": "2",  # TensorFlow greets at level 1
        "KERAS_HOME": str(private / "keras"),
        "IPYTHONDIR": str(private / "ipython"),
        "MATPLOTLIBRC": os.devnull,
    }


def _join_paths(*folders: str) -> str:
    """Return the folders of modules as one variable; those that are "" are left out."""
    return os.pathsep.join(filter(None, folders))
