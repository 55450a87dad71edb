"""Starting the workflow: profiles, checks before the first job, the lock of the folder, what the terminal shows."""
