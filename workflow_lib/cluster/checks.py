"""How long the executor may look away from its jobs: by itself up to three minutes, while long ones run."""

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


def limit_pause(most_s: float, executor: type[RemoteExecutor] = RemoteExecutor) -> None:
    """Let the pause between two status checks be at most so many seconds.

    The Slurm executor waits 10 s more each time while no job ends, up to 180 s, and has no setting for it: the end of
    a job of one minute was seen half a minute later. The pause is a public property of the executor's interface.
    """
    pause = executor.next_seconds_between_status_checks

    def limited(self: RemoteExecutor, seconds: float) -> None:
        pause.fset(self, min(seconds, most_s))

    executor.next_seconds_between_status_checks = property(pause.fget, limited)
