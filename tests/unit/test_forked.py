"""Items in forked processes: the same results in the same order, and errors that arrive."""

import os

import pytest
from one_line import one_line_error

from workflow_lib.errors import UserError
from workflow_lib.forked import forked_map


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_whatever_the_workers(workers):
    assert forked_map(lambda x: x * x, list(range(7)), workers) == [0, 1, 4, 9, 16, 25, 36]


def test_items_go_to_other_processes_and_need_not_be_picklable():
    found = forked_map(lambda item: (item(), os.getpid()), [lambda: "a", lambda: "b"], 2)
    assert [value for value, _ in found] == ["a", "b"]
    assert os.getpid() not in {process for _, process in found}


def test_an_error_of_the_user_stays_one():
    def fail(item):
        raise UserError(f"{item}: cannot be drawn: leave it out")

    with one_line_error("x: cannot be drawn"):
        forked_map(fail, ["x", "y"], 2)
