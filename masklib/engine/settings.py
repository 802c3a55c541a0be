"""The environment of a kernel: the settings that can change numbers, fixed by the engine, and the user's own files kept out."""

import os
from collections.abc import Mapping
from pathlib import Path

from masklib.engine.environments import find_environment
from masklib.engine.kernels.choosing import THIS, Kernel, find_kernel

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
# Variables that numeric libraries read at import. What the user has set of them is kept, and is part of a run's identity.
NUMERIC_PREFIXES = ("CUDA_", "JAX_", "KERAS_", "MKL_", "OMP_", "OPENBLAS_", "TF_", "XLA_")
KERNEL_VARIABLE = "MASKLIB_KERNEL"  # in the settings of a run: the name of its kernel, where that is not of this Python
ENVIRONMENT_VARIABLE = "MASKLIB_ENVIRONMENT"  # in the settings of a run: the name of the environment whose Python runs it
PYTHON_VARIABLE = "MASKLIB_PYTHON"  # in the environment of its kernel: that Python
SERVERS_VARIABLE = "MASKLIB_FORK_SERVERS"  # the parent's fork servers; see masklib.engine.kernels.servers
PRIVATE_VARIABLE = "MASKLIB_PRIVATE"  # where a worker makes its private folders; see masklib.engine.worker
SEARCHED = "PYTHONPATH"  # folders of modules: with other ones a notebook imports other code
SILENT = ("KERAS_HOME", "TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL")  # folders and logs change no number
# TF_ is Terraform's prefix too, for secrets among others. https://developer.hashicorp.com/terraform/cli/config/environment-variables
_TERRAFORM = (
    *("TF_CLI_", "TF_CLOUD_", "TF_DATA_DIR", "TF_IGNORE", "TF_IN_AUTOMATION", "TF_INPUT", "TF_LOG", "TF_PLUGIN_CACHE_"),
    *("TF_REATTACH_PROVIDERS", "TF_REGISTRY_", "TF_STATE_", "TF_TOKEN_", "TF_VAR_", "TF_WORKSPACE"),
)


def numeric_settings(threads: int = 1, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables that can change a run's numbers, sorted by name.

    Args:
        threads: threads of each numeric library; one gives the same sums in the same order on every machine.
        environment: the user's; `os.environ` by default. Its thread counts are overridden, its other settings kept.
    """
    environment = os.environ if environment is None else environment
    kept = {k: v for k, v in environment.items() if k.startswith(NUMERIC_PREFIXES) and k not in SILENT}
    kept = {k: v for k, v in kept.items() if not k.startswith(_TERRAFORM)}
    flags = [flag for flag in kept.get("XLA_FLAGS", "").split() if not flag.startswith(XLA_THREADS)]
    fixed = {"PYTHONHASHSEED": "0", **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    fixed["XLA_FLAGS"] = " ".join([*flags, f"{XLA_THREADS}={str(threads > 1).lower()}"])
    searched = _join_paths(*map(os.path.abspath, filter(None, environment.get(SEARCHED, "").split(os.pathsep))))
    fixed |= {SEARCHED: searched} if searched else {}
    return dict(sorted({"KERAS_BACKEND": "tensorflow", **kept, **fixed}.items()))


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
    """Return the whole environment of a kernel.

    The user's Keras configuration, IPython start-up files, matplotlibrc and `PYTHON...` variables but `PYTHONPATH` do not reach
    it: they could change results without being part of a run's identity.

    Args:
        settings: from `numeric_settings`.
        private: an empty folder for what the kernel writes about itself.
    """
    other = find_environment(settings[ENVIRONMENT_VARIABLE]) if ENVIRONMENT_VARIABLE in settings else None
    kernel = find_kernel(settings.get(KERNEL_VARIABLE, THIS))
    unwanted = (PYTHON_VARIABLE, "PYTHON", SERVERS_VARIABLE, PRIVATE_VARIABLE, *NUMERIC_PREFIXES)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
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
