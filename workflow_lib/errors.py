"""The one exception whose text is written for the user."""


class UserError(ValueError):
    """Something the user can mend: the text says what, where and what to do, one line for each fault."""
