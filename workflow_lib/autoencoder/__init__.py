"""The reconstruction autoencoder (paper section 2.1): network, training, log-mel vectors and its jobs."""

from workflow_lib.autoencoder.network import Autoencoder, log_mel_vectors, mahalanobis_score, mse_score

__all__ = ["Autoencoder", "log_mel_vectors", "mahalanobis_score", "mse_score"]
