"""The reconstruction autoencoder (paper section 2.1): network, training, log-mel vectors and its jobs."""

from workflow_lib.autoencoder.log_mel import log_mel_vectors
from workflow_lib.autoencoder.network import Autoencoder, mahalanobis_score, mse_score

__all__ = ["Autoencoder", "log_mel_vectors", "mahalanobis_score", "mse_score"]
