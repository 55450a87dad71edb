"""The same function for many items in several processes that share what is in memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_task: tuple[Callable[[Any], Any], Sequence[Any]] | None = None  # of a forked process


def forked_map(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> list[Result]:
    """Results in the order of the items; neither function nor items are copied, results must be picklable.

    For work that holds Python's lock, such as drawing. An exception of one item is raised here.
    """
    workers = min(workers, len(items))
    if workers < 2:
        return list(map(function, items))
    context = get_context("fork")  # a spawned process would import everything again
    with ProcessPoolExecutor(workers, context, initializer=_hold, initargs=(function, items)) as pool:
        return list(pool.map(_at, range(len(items))))


def _hold(function: Callable[[Any], Any], items: Sequence[Any]) -> None:
    global _task
    _task = function, items


def _at(place: int) -> Any:
    assert _task is not None
    function, items = _task
    return function(items[place])
