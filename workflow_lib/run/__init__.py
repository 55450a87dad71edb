"""A start of the workflow: what it checks first, what it holds, and what it says at its end."""
