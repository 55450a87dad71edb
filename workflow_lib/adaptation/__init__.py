"""Task adaptation of an encoder: LoRA in its middle blocks, trained by metadata (paper section 2.3).

Nothing is imported here, so that the package costs no torch; `config.adaptation.AdapterSettings` has the settings.

- `training.train_adapter`: from normal training clips to an adapter folder.
- `folder.load_adapted`, `folder.load_heads`, `heads.head_embedding`: from an adapter folder to embeddings.
"""
