"""An error of the user is one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workflow_lib.errors import UserError


@contextmanager
def one_line_error(match: str | None = None) -> Iterator[pytest.ExceptionInfo]:
    """Expect a UserError of one line in which the pattern `match` is found, if given."""
    with pytest.raises(UserError, match=match) as caught:
        yield caught
    assert len(str(caught.value).splitlines()) == 1
