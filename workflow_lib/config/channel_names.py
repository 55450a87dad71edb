"""The names of the channels. The DAG imports it: standard library only."""

CHANNELS = ("near", "far")  # as recorded
CANCELLED = "cancelled"  # near less what far predicts of it, computed (workflow_lib/channels)
