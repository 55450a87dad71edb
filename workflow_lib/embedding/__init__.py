"""The embedding job: every clip of a machine once through an encoder, into an HDF5 store."""
