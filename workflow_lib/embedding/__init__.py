"""The embedding job: every clip of a machine once through an encoder, into an HDF5 store. No torch at import."""

from workflow_lib.embedding.store import StoredClips, open_store, read_residuals, read_statistics

__all__ = ["StoredClips", "open_store", "read_residuals", "read_statistics"]
