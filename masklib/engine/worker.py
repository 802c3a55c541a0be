"""A worker: a process that executes one run after another, each given as a line of JSON and answered by one.

`python -m masklib.engine.worker` reads jobs from its stdin; `Worker` is the other end. A job holds all that a run follows from,
so that a worker can be on another machine, and is refused where the worker would make another run of it. While it runs, lines
`{"event": "start"}` and `{"event": "cell", "done": 3, "total": 9}` say how far it is. The answer has an `outcome`: "run" with
the `record`, the `folder` and whether it was `cached`; "busy", another process is at that run; "interrupted"; "died" or "error"
with a `reason`.

A worker ends when its stdin closes, in the middle of a run too: then whoever started it is gone. What it needs for itself is in
one folder, which it makes and removes, or whoever started it does if it is killed.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from masklib.engine.execution import terminate_as_interrupt
from masklib.engine.limits import DEFAULT_LIMITS, Limits
from masklib.engine.private import make_private, private_path, temporary_file
from masklib.engine.record import Record
from masklib.engine.settings import PRIVATE_VARIABLE
from masklib.engine.startup import leave_out_grammars
from masklib.engine.values import read, write
from masklib.errors import MasklibError, RunError

OnEvent = Callable[[dict[str, Any]], None]

RUN, BUSY, STOPPED, LOST, ERROR = "run", "busy", "interrupted", "died", "error"
TRIES = 2  # of a run whose worker dies
END_S = 5.0  # then a worker that was asked to end is killed
GRACE_S = 60.0  # from the time limit of a run to its answer; a worker that takes longer is stopped, or hangs, and is killed
_OPAQUE = ("cells", "masklib", "parameters")  # parts of an identity too long to show


class DifferingError(RunError):
    """A worker would make another run of a job than the one that was planned."""


@dataclass(frozen=True)
class Job:
    """A run, with all that it follows from.

    Attributes:
        notebook: its name, and `path` where it was read.
        path: absolute.
        folder: in which its kernel works; see `masklib.engine.run.Plan`.
        source: the notebook as the text of an .ipynb file.
        parameters, settings, inputs, key, depends: of the plan; see `masklib.engine.run.Plan`.
        store: the URL of the store.
        limits: of the run.
        warm: whether its kernel is forked.
        force: whether it is executed even if the store has it.
    """

    notebook: str
    path: str
    folder: str
    source: str
    parameters: dict[str, Any]
    settings: dict[str, str]
    inputs: dict[str, Any]
    key: str
    store: str
    limits: Limits = DEFAULT_LIMITS
    warm: bool = False
    force: bool = False
    depends: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the job as a line of JSON."""
        return json.dumps({**asdict(self), "parameters": {name: write(value) for name, value in self.parameters.items()}})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Job":
        """Return the job that a line of JSON holds."""
        values = json.loads(text)
        parameters = {name: read(value) for name, value in values["parameters"].items()}
        limits, depends = Limits(**values["limits"]), tuple(values["depends"])
        return cls(**{**values, "parameters": parameters, "limits": limits, "depends": depends})


@dataclass(frozen=True)
class Answer:
    """What came of a job.

    Attributes:
        outcome: "run" where there is one, else "busy", "interrupted", "died" or "error".
        record: of the run.
        folder: of the run, or of the failed attempt; "" where there is none.
        cached: whether the run was there already.
        reason: why there is no run; "" where that needs none.
        differs: whether another worker could execute it: this one would make another run of it.
        worker: the address of the Dask worker that gave the answer; "" on this machine.
    """

    outcome: str
    record: Record | None = None
    folder: str = ""
    cached: bool = False
    reason: str = ""
    differs: bool = False
    worker: str = ""

    def to_json(self) -> str:
        """Return the answer as a line of JSON."""
        return json.dumps({**vars(self), "record": self.record.to_json() if self.record else None})

    @classmethod
    def from_json(cls, text: str) -> "Answer":
        """Return the answer that a line of JSON holds."""
        values = json.loads(text)
        return cls(**{**values, "record": Record.from_json(values["record"]) if values["record"] else None})


class Worker:
    """The end of a worker that gives it jobs: one at a time.

    Args:
        environment: variables that the process has besides those of this one.
    """

    def __init__(self, environment: Mapping[str, str] | None = None):
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._private = ""
        self._in_use = threading.Lock()
        self._ending = False

    def start(self) -> None:
        """Start the process, unless it is there; it gets ready while the caller continues."""
        if self._process is not None:
            return
        self._log = temporary_file()  # closed in _bury
        self._private = private_path()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "masklib.engine.worker"],
            env={**os.environ, **self._environment, PRIVATE_VARIABLE: self._private},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C is for the driver only
        )

    def execute(self, job: Job, on_event: OnEvent = lambda event: None) -> Answer:
        """Execute a job and return the answer; where the process dies, another one tries again.

        Args:
            job: from `make_job`.
            on_event: called, in this thread, with each event.
        """
        reason = ""
        with self._in_use:
            for _ in range(TRIES):
                if self._ending:
                    return Answer(STOPPED)
                self.start()
                with self._killed_after(job.limits.timeout + GRACE_S) as overdue:
                    answer = self._ask(job, on_event)
                if answer is not None:
                    return answer
                reason = self._bury()
                if overdue.is_set():
                    return Answer(LOST, reason=f"no answer {GRACE_S:g} s after its time limit; {reason}")
        return Answer(STOPPED) if self._ending else Answer(LOST, reason=reason)

    def interrupt(self) -> None:
        """End the run that is executed, which is then recorded as interrupted; the worker takes no more."""
        self._ending = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._ending = True
        process = self._process
        with self._killed_after(END_S):  # one that is stopped does not see that its stdin closes
            if process is not None and process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            with self._in_use:
                if self._process is not None:
                    self._bury()

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the process if this context takes longer; the event tells whether that was so."""
        process, overdue = self._process, threading.Event()

        def kill() -> None:
            overdue.set()
            process.kill()  # type: ignore[union-attr] # without a process there is no timer

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        if process is not None:
            timer.start()
        try:
            yield overdue
        finally:
            timer.cancel()

    def _ask(self, job: Job, on_event: OnEvent) -> Answer | None:
        """Give the process a job and return its answer; None if it dies."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(job.to_json() + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # it is gone, or `close` was called
            return None
        for line in self._process.stdout:
            if not line.endswith("\n"):
                break
            message: dict[str, Any] = json.loads(line)
            if "event" not in message:
                return Answer.from_json(line)
            on_event(message)
        return None

    def _bury(self) -> str:
        """Wait for the end of the process, let go of it, and return how it came."""
        process, log = self._process, self._log
        assert process is not None
        assert log is not None
        self._process = self._log = None
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr] # both are pipes
        try:
            code = process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        shutil.rmtree(self._private, ignore_errors=True)
        with log:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()[-3:]
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return " ".join([f"the process that drove the run {how}", *said])


def make_job(
    plan: Any, source: str, store: str, *, limits: Limits = DEFAULT_LIMITS, warm: bool = False, force: bool = False
) -> Job:
    """Return the job of a plan.

    Args:
        plan: a `masklib.engine.run.Plan`.
        source: its notebook as the text of an .ipynb file.
        store: the URL of the store.
        limits: of the run.
        warm: whether its kernel is forked.
        force: whether it is executed even if the store has it.
    """
    notebook = plan.notebook
    where = (notebook.name, str(notebook.path.absolute()), plan.folder)
    identity = (plan.parameters, plan.settings, plan.inputs, plan.key)
    return Job(*where, source, *identity, store, limits, warm, force, plan.depends)


def perform(job: Job, on_event: OnEvent) -> Answer:
    """Execute a job in this process.

    Raises:
        DifferingError: this process would make another run of it.
        MasklibError: as `masklib.engine.run.execute_plan`.
    """
    from masklib.engine.run import execute_plan, plan_run
    from masklib.engine.stores import open_store

    planned = plan_run(_read(job.notebook, job.path, job.source), job.parameters, job.settings, job.folder or None)
    plan = replace(planned, depends=job.depends)
    if plan.key != job.key:
        msg = (
            "A run must be executed with what it was planned with, this worker differs in "
            f"{'; '.join(differences(job.inputs, plan.inputs))}. Give it the same, or start the sweep again."
        )
        raise DifferingError(msg)
    on_event({"event": "start"})
    result = execute_plan(
        plan,
        open_store(job.store),
        limits=job.limits,
        warm=job.warm,
        force=job.force,
        wait=False,
        on_cell=lambda done, total: on_event({"event": "cell", "done": done, "total": total}),
    )
    return Answer(RUN, result.record, str(result.folder), result.cached) if result else Answer(BUSY)


def differences(planned: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return in what two identities differ, a few words each."""
    told = []
    for name in sorted({*planned, *found}):
        ours, theirs = found.get(name), planned.get(name)
        if ours == theirs:
            continue
        if name in _OPAQUE:
            told.append(name)
        elif isinstance(ours, dict) and isinstance(theirs, dict):
            told += [f"{name}: {part}" for part in differences(theirs, ours)]
        else:
            told.append(f"{name} ({ours} here, {theirs} in the plan)")
    return told


@lru_cache(maxsize=8)
def _read(name: str, path: str, source: str) -> Any:
    """Return the notebook of that name, path and text."""
    import nbformat

    from masklib.engine.notebooks import Notebook

    return Notebook(name, Path(path), nbformat.reads(source, as_version=4))


def _answer(job: str, on_event: OnEvent) -> Answer:
    """Execute a job and return the answer, whatever happens."""
    try:
        with terminate_as_interrupt():
            return perform(Job.from_json(job), on_event)
    except KeyboardInterrupt:
        return Answer(STOPPED)
    except MasklibError as error:
        return Answer(ERROR, reason=str(error), differs=isinstance(error, DifferingError))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Answer(ERROR, reason=f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})")


def _receive(source: IO[str], inbox: "queue.SimpleQueue[str | None]", idle: threading.Event, private: str) -> None:
    """Pass jobs on; when the driver is gone, end this process: at once if it is at a run, which then counts as interrupted."""
    for line in source:
        idle.clear()
        inbox.put(line)
    if not idle.is_set():
        gone = Path(private).rename(f"{private}-gone")  # at once, so that the run makes nothing there any more
        shutil.rmtree(gone, ignore_errors=True)
        os._exit(1)
    inbox.put(None)


def _take(descriptor: int, mode: str, replacement: int) -> IO[str]:
    """Return the stream at a descriptor, and put another in its place, so that nothing else reads or writes it."""
    stream = os.fdopen(os.dup(descriptor), mode)
    os.dup2(replacement, descriptor)
    return stream


def main() -> None:
    """Execute jobs until stdin closes."""
    leave_out_grammars()
    nothing = os.open(os.devnull, os.O_RDONLY)
    jobs, answers = _take(0, "r", nothing), _take(1, "w", 2)
    private = os.environ.setdefault(PRIVATE_VARIABLE, private_path())
    lock = make_private(private)

    def tell(line: str) -> None:
        print(line, file=answers, flush=True)

    inbox: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    idle = threading.Event()
    idle.set()
    threading.Thread(target=_receive, args=(jobs, inbox, idle, private), daemon=True).start()
    import papermill  # noqa: F401 (takes its time, while the first job is on its way)

    try:
        while (job := inbox.get()) is not None:
            answer = _answer(job, lambda event: tell(json.dumps(event)))
            idle.set()
            tell(answer.to_json())
    finally:
        shutil.rmtree(private, ignore_errors=True)
        lock.release()


if __name__ == "__main__":
    main()
