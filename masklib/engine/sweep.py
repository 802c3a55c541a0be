"""A sweep: many runs, those that are missing executed side by side.

What the store has is not executed again: runs that ended well, and, unless asked for, attempts that failed. So the same sweep
again continues where it stopped. Any number of sweeps may share a store; each run is executed by one of them.
"""

import queue
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from masklib.engine import worker
from masklib.engine.dependencies import Present
from masklib.engine.grid import Values, names_of, plan_sweep
from masklib.engine.kernels import servers
from masklib.engine.limits import DEFAULT_LIMITS, Limits
from masklib.engine.pool import Executor, LocalPool, available_cores
from masklib.engine.run import Plan, changes_of, declare
from masklib.engine.settings import ENVIRONMENT_VARIABLE
from masklib.engine.store import (
    DIED,
    FAILED,
    INTERRUPTED,
    OK,
    TIMEOUT,
    CorruptError,
    Record,
    Store,
    notebook_at,
    read_record,
)
from masklib.engine.stores import open_store
from masklib.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

ERROR, NOT_RUN = "error", "not run"
BUSY_S = 0.5  # between two looks at runs that another process is at


@dataclass(frozen=True)
class Outcome:
    """What became of one point.

    Attributes:
        plan: the point.
        status: that of the run; "error" if it could not be executed at all, "not run" if the sweep was stopped before.
        cached: whether it was in the store already.
        folder: of the run, or of the evidence of the failed attempt; None where there is none.
        record: of the run; None where there is none, or it was not read.
        reason: why the status is not "ok"; "" where it is.
    """

    plan: Plan
    status: str
    cached: bool = False
    folder: Path | str | None = None
    record: Record | None = None
    reason: str = ""

    @property
    def state(self) -> str:
        """The status, or that the run was there before."""
        if not self.cached:
            return self.status
        return "already there" if self.status == OK else f"{self.status} before"


@dataclass(frozen=True)
class SweepResult:
    """What became of a sweep.

    Attributes:
        outcomes: of every point, in the order of the plan.
    """

    outcomes: list[Outcome]

    @property
    def ok(self) -> bool:
        """Whether every point has a run that ended well."""
        return all(outcome.status == OK for outcome in self.outcomes)

    @property
    def counts(self) -> dict[str, int]:
        """How many points have each state."""
        return dict(Counter(outcome.state for outcome in self.outcomes))

    @property
    def failures(self) -> list[Outcome]:
        """The points that were to run and have no run that ended well."""
        return [outcome for outcome in self.outcomes if outcome.status not in (OK, NOT_RUN)]

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the sweep: how many points have each state, and the points."""
        told = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        shown: str = self.to_frame().to_html(max_rows=20, max_cols=12, border=0)  # escapes what it shows
        return f"<p>{len(self.outcomes)} points: {told}</p>{shown}"

    def to_frame(self) -> "pd.DataFrame":
        """Return a table: a row a point, in the order of the plan.

        Returns:
            DataFrame with columns key, notebook, status, cached, duration_s (NaN where it was not executed now), reason,
            folder, and `param_<name>` for each parameter.
        """
        import pandas as pd

        names = names_of(outcome.plan for outcome in self.outcomes)
        rows = [
            {
                "key": outcome.plan.key,
                "notebook": names[outcome.plan.key],
                "status": outcome.status,
                "cached": outcome.cached,
                "duration_s": outcome.record.duration_s if outcome.record and not outcome.cached else float("nan"),
                "reason": outcome.reason,
                "folder": str(outcome.folder or ""),
                **{f"param_{name}": value for name, value in outcome.plan.parameters.items()},
            }
            for outcome in self.outcomes
        ]
        return pd.DataFrame(rows)


class Listener(Protocol):
    """What gets the events of a sweep, all in the thread that runs it."""

    def on_set_aside(self, folder: Path, error: StoreError) -> None:
        """Take note of where a run is that was not whole any more; it is executed again."""
        return

    def on_change(self, plan: Plan, changes: Sequence[str]) -> None:
        """Take note of why a point that is there is executed again; comes before `on_begin`."""
        return

    def on_begin(self, known: Sequence[Outcome], todo: Sequence[Plan]) -> None:
        """Take note of what the store has and what is to be executed."""
        return

    def on_event(self, plan: Plan, event: dict[str, Any]) -> None:
        """Take note of how far a run is; see `masklib.engine.worker`."""
        return

    def on_outcome(self, outcome: Outcome) -> None:
        """Take note of a point that is settled."""
        return

    def on_stop(self, *, now: bool) -> None:
        """Take note that the user stops the sweep: no run starts any more; `now`: those that run are interrupted."""
        return


class _Silent(Listener):
    """Tells nobody."""


def sweep(
    source: str | Path,
    grid: Values = (),
    fixed: Values = (),
    lists: Values = (),
    *,
    cwd: str | Path | None = None,
    kernel: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    runs: str | Path = "runs",
    jobs: int | None = None,
    retry: bool = False,
    force: bool = False,
    depends: Iterable[str] = (),
    fail_fast: bool = False,
    timeout: float = DEFAULT_LIMITS.timeout,
    cell_timeout: float = DEFAULT_LIMITS.cell_timeout,
    memory_bytes: int | None = None,
    listener: Listener | None = None,
    executor: Executor | None = None,
) -> SweepResult:
    """Execute every combination of a notebook's parameters, side by side, and return what became of each.

    Args:
        source: a notebook (path, or name in the suite), or a spec (path, or name in `runs/specs`).
        grid: parameter -> its values, as a list or as text (`"0:20"`); every combination is a run.
        fixed: parameter -> its one value.
        lists: parameter -> its values; those of all names advance together.
        cwd: the folder in which the kernels work; by default that of the notebook, as in JupyterLab.
        kernel: the name of a kernel in place of the notebook's own.
        sample: how many points are drawn from all of them; None for all.
        seed: of the drawing.
        runs: the store, a folder or a URL.
        jobs: runs at once; as many as there are cores by default, never more than there are runs.
        retry: whether points that failed before, ran out of time or died are executed again; interrupted ones always are.
        force: whether points are executed that the store has.
        depends: files that the results follow from, as paths or patterns such as `"data/*.csv"`.
        fail_fast: whether no run starts any more once one failed.
        timeout: seconds that a run may take, and `cell_timeout` one of its cells.
        cell_timeout: see `timeout`.
        memory_bytes: that a kernel and what it started may hold; None for no limit.
        listener: gets the events of the sweep.
        executor: executes in place of `jobs` workers on this machine, such as `masklib.engine.cluster.DaskCluster`.

    Returns:
        SweepResult: an outcome for each point.

    Raises:
        ArgumentError, ParameterError, NotebookError: before anything runs; all problems of the parameters at once.
        StoreError: the store cannot be used.
    """
    limits = Limits(timeout, cell_timeout, memory_bytes)
    planned = plan_sweep(source, grid, fixed, lists, cwd, kernel, sample=sample, seed=seed)
    plans, store = declare(planned.plans, depends), open_store(runs)
    return run_sweep(
        plans,
        store,
        jobs=jobs,
        retry=retry,
        force=force,
        fail_fast=fail_fast,
        limits=limits,
        listener=listener,
        executor=executor,
    )


def run_sweep(
    plans: Iterable[Plan],
    store: Store,
    *,
    jobs: int | None = None,
    retry: bool = False,
    force: bool = False,
    fail_fast: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    keep_s: float = 0.0,
    listener: Listener | None = None,
    executor: Executor | None = None,
) -> SweepResult:
    """Execute the plans whose runs the store does not have.

    In the main thread Ctrl-C and SIGTERM stop it: once, runs that have begun are finished; twice, they are interrupted;
    a third time everything is ended at once.

    Args:
        plans: from `masklib.engine.grid.plan_sweep`.
        store: where runs are looked up and published.
        jobs: runs at once; as many as there are cores by default, never more than there are runs.
        retry: whether points that failed before, ran out of time or died are executed again; interrupted ones always are.
        force: whether points are executed that the store has.
        fail_fast: whether no run starts any more once one failed.
        limits: of each run.
        keep_s: how long a fork server without a kernel stays for the next command; 0.0 for one that ends with this process.
        listener: gets the events of the sweep.
        executor: executes in place of a pool of `jobs` workers on this machine; it is closed at the end.

    Returns:
        SweepResult: an outcome for each plan, in their order.
    """
    plans = list(plans)
    listener = listener or _Silent()
    store.recover()
    before = look_up(plans, store, partial(_set_aside, store, listener), listener.on_change)
    known = {key: outcome for key, outcome in before.items() if (outcome.status == OK or not retry) and not force}
    todo = _by_environment({plan.key: plan for plan in plans if plan.key not in known}.values())
    listener.on_begin(list(known.values()), todo)
    found: dict[str, Outcome] = {}
    if todo:
        driver = _Driver(store, listener, before, force=force, fail_fast=fail_fast, limits=limits, warm=_is_warm(todo, keep_s))
        with _on_signal(driver.stop), closing(executor or _pool(todo, jobs, keep_s)) as where:
            driver.run(todo, where)
        with suppress(StoreError):  # a disk that became full or read-only; the next sweep moves what is left
            store.recover()
        found = {key: _with_evidence(outcome, store) for key, outcome in driver.outcomes.items()}
    elif executor:
        executor.close()
    outcomes = known | found
    return SweepResult([outcomes[plan.key] for plan in plans])


def _by_environment(plans: Iterable[Plan]) -> list[Plan]:
    """Return plans in an order in which those of one environment follow one another: they share its fork server."""
    groups: dict[str, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(plan.settings.get(ENVIRONMENT_VARIABLE, ""), []).append(plan)
    return [plan for group in groups.values() for plan in group]


def look_up(
    plans: Iterable[Plan],
    store: Store,
    on_damage: Callable[[Path, StoreError], None] = lambda folder, error: None,
    on_change: Callable[[Plan, Sequence[str]], None] = lambda plan, changes: None,
) -> dict[str, Outcome]:
    """Return, by key, what the store has of the plans: runs that ended well, and failed attempts but interrupted ones.

    Args:
        plans: to look up.
        store: where; it is only read.
        on_damage: called with the folder of a run that is not whole, which counts as missing, and the reason.
        on_change: called with a plan whose run, or failed attempt, does not count because something that it used has changed.
    """
    plans = list(plans)
    by_notebook: dict[str, dict[str, Plan]] = {}
    for plan in plans:
        by_notebook.setdefault(plan.notebook.name, {})[plan.key] = plan
    found: dict[str, Outcome] = {}
    present = Present()
    for outcome in (each for name, wanted in by_notebook.items() for each in _stored(name, wanted, store, on_damage)):
        changed = changes_of(outcome.plan, outcome.record, present) if outcome.record else ()
        if changed:
            on_change(outcome.plan, changed)
        else:
            found[outcome.plan.key] = replace(outcome, record=None) if outcome.status == OK else outcome
    return {plan.key: found[plan.key] for plan in plans if plan.key in found}


def _stored(
    notebook: str, wanted: dict[str, Plan], store: Store, on_damage: Callable[[Path, StoreError], None]
) -> Iterator[Outcome]:
    """Yield what the store has of the plans of a notebook, with its record, whether it counts or not."""
    attempts = store.attempts_of(notebook)
    damaged = []
    keys = store.keys(notebook) & wanted.keys()
    for key, record in store.read(notebook, sorted(keys)):
        folder = store.folder(notebook, key)
        if isinstance(record, CorruptError):
            damaged.append(key)
            on_damage(folder, record)
        else:
            yield Outcome(wanted[key], OK, cached=True, folder=folder, record=record)
    for key in attempts.keys() & wanted.keys() - (keys - {*damaged}):
        outcome = _of_attempt(wanted[key], attempts[key])
        if outcome and outcome.status in (FAILED, TIMEOUT, DIED):
            yield replace(outcome, cached=True)


def _set_aside(store: Store, listener: Listener, folder: Path, error: StoreError) -> None:
    """Set a run aside that is not whole, and report where it is; not one that another process has executed again meanwhile."""
    notebook, key = notebook_at(folder.parent.name), folder.name
    lock = store.lock(notebook, key)
    if lock is None:
        return
    with lock:
        aside = store.set_aside(folder) if store.damage(notebook, [key]) else None
    if aside:
        listener.on_set_aside(aside, error)


class _Driver:
    """Gives jobs to an executor and settles their answers; all of it in one thread, which has one inbox."""

    def __init__(
        self,
        store: Store,
        listener: Listener,
        before: dict[str, Outcome],
        *,
        force: bool,
        fail_fast: bool,
        limits: Limits,
        warm: bool,
    ):
        self.outcomes: dict[str, Outcome] = {}
        self._store = store
        self._listener = listener
        self._before = before
        self._fail_fast = fail_fast
        self._make_job = partial(worker.make_job, store=str(store.root), limits=limits, warm=warm, force=force)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._futures: set[Future[worker.Answer]] = set()
        self._busy: list[Plan] = []
        self._sources: dict[int, str] = {}  # by id of the notebook
        self._stops = 0
        self._ending = False

    def stop(self) -> None:
        """Ask for a stop; may be called from a signal handler."""
        self._inbox.put(self._stop)

    def run(self, plans: Iterable[Plan], executor: Executor) -> None:
        """Execute plans until each is settled."""
        self._executor = executor
        for plan in plans:
            self._submit(plan)
        while self._futures or self._busy:
            try:
                self._inbox.get(timeout=None if self._futures else BUSY_S)()
            except queue.Empty:
                self._look_again()

    def _submit(self, plan: Plan) -> None:
        """Give a plan to the executor."""
        job = self._make_job(plan, self._source_of(plan))
        future = self._executor.submit(job, lambda event: self._inbox.put(partial(self._listener.on_event, plan, event)))
        self._futures.add(future)
        future.add_done_callback(lambda done: self._inbox.put(partial(self._take, plan, done)))

    def _source_of(self, plan: Plan) -> str:
        """Return the notebook of a plan as text, made once for all its plans."""
        import nbformat

        if id(plan.notebook) not in self._sources:
            self._sources[id(plan.notebook)] = nbformat.writes(plan.notebook.node)
        return self._sources[id(plan.notebook)]

    def _take(self, plan: Plan, future: "Future[worker.Answer]") -> None:
        """Settle a plan by the answer to its job, or put it back if another process is at it."""
        self._futures.discard(future)
        if future.cancelled():
            self._settle(Outcome(plan, NOT_RUN, reason="the sweep was stopped before"))
            return
        answer = _answer_of(future)
        if answer.outcome == worker.BUSY:
            self._busy.append(plan)
        elif answer.record:
            record = answer.record
            self._settle(Outcome(plan, record.status, answer.cached, answer.folder, record, _reason(record)))
        else:
            self._settle(Outcome(plan, answer.outcome, reason=answer.reason or "the run was interrupted"))
        if self._ending:
            self._give_up_busy()

    def _settle(self, outcome: Outcome) -> None:
        """Take note of an outcome."""
        self.outcomes[outcome.plan.key] = outcome
        self._listener.on_outcome(outcome)
        if self._fail_fast and outcome.status != OK:
            self._end()

    def _look_again(self) -> None:
        """Settle the plans that another process was at by what it made of them; try those that it left."""
        found = look_up(self._busy, self._store)
        busy, self._busy = self._busy, []
        for plan in busy:
            outcome = found.get(plan.key)
            if outcome is None or outcome == self._before.get(plan.key):
                self._submit(plan)
            else:
                self._settle(outcome)

    def _stop(self) -> None:
        """Do what the user asks for: the first time, start no run; the second, interrupt; the third, give up."""
        self._stops += 1
        self._listener.on_stop(now=self._stops > 1)
        self._end()
        if self._stops == 2:
            self._executor.interrupt()
        elif self._stops > 2:
            raise KeyboardInterrupt

    def _end(self) -> None:
        """Let no run start any more."""
        if not self._ending:
            self._ending = True
            for future in list(self._futures):
                future.cancel()
            self._give_up_busy()

    def _give_up_busy(self) -> None:
        """Settle the plans that another process is at as not run."""
        busy, self._busy = self._busy, []
        for plan in busy:
            self._settle(Outcome(plan, NOT_RUN, reason="another process is at it, and the sweep was stopped"))


@contextmanager
def _on_signal(act: Callable[[], None]) -> Iterator[None]:
    """Within this context Ctrl-C and SIGTERM call `act`; they reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda number, frame: act()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_warm(plans: Sequence[Plan], keep_s: float) -> bool:
    """Return whether kernels are forked: a single run is not worth a fork server, unless that is there or stays."""
    return len(plans) > 1 or keep_s > 0 or servers.is_kept_for(plans[0].settings)


def _pool(plans: Sequence[Plan], jobs: int | None, keep_s: float) -> LocalPool:
    """Return the pool of this machine."""
    forked = [plan for plan in plans if plan.kernel.forkable] if _is_warm(plans, keep_s) else []
    settings = {tuple(plan.settings.items()): plan.settings for plan in forked}
    return LocalPool(min(jobs or available_cores(), len(plans)), settings.values(), keep_s)


def _answer_of(future: "Future[worker.Answer]") -> worker.Answer:
    """Return the answer of a future; an exception of the executor is one too."""
    error = future.exception()
    return worker.Answer(ERROR, reason=f"{type(error).__name__}: {error}") if error else future.result()


def _of_attempt(plan: Plan, folder: Path) -> Outcome | None:
    """Return what became of a failed attempt; None if its record cannot be read."""
    try:
        record = read_record(folder)
    except StoreError:
        return None
    return Outcome(plan, record.status, folder=folder, record=record, reason=_reason(record))


def _with_evidence(outcome: Outcome, store: Store) -> Outcome:
    """Return an outcome with the folder of its attempt, where the worker died before it could report it."""
    if outcome.folder is not None or outcome.status not in (DIED, INTERRUPTED):
        return outcome
    return replace(outcome, folder=store.attempts_of(outcome.plan.notebook.name).get(outcome.plan.key))


def _reason(record: Record) -> str:
    """Return why a run did not end well, in a line; "" if it did."""
    return record.error.told if record.error else ""
