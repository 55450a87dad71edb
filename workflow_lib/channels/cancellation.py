"""The channel `cancelled`: near less what far predicts of it, per clip and frequency, by least squares over frames."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from workflow_lib.channels.stft import WINDOW_SAMPLES, Spectrum, istft, stft
from workflow_lib.errors import UserError

MOST_TAPS = 13
LEAST_RIDGE = 1e-12  # added to the diagonal: silence of far removes nothing
LEAST_COVERAGE = 0.05  # of squared windows; elsewhere it is at least 0.5 (stft.istft)
BINS_AT_ONCE = 16  # frequencies whose shifted frames fit the cache
# The matrix library shares longer sums and larger products among threads, and the order of additions would then depend
# on their number: measured with OpenBLAS, a product of a matrix and a vector from 4,096 elements of the matrix.
FRAMES_AT_ONCE = 512
FRAMES_OF_A_PRODUCT = 4096 // MOST_TAPS - 1


def cancel_far(
    near: ArrayLike,
    far: ArrayLike,
    taps: int = 9,
    ridge: float = 1e-3,
    *,
    window_samples: int = WINDOW_SAMPLES,
    causal: bool = False,
) -> NDArray[np.float64]:
    """Near (samples,) less what far (samples,) predicts of it: the inverse STFT of `cancelled_spectrum`.

    The result has the length and unit of near. UserError for channels that are not one-dimensional, finite and of equal
    length, for clips of fewer than window_samples // 2 + 1 samples, and for options outside their range.
    """
    check_options(taps, ridge, causal)
    near, far = _channel(near, "near"), _channel(far, "far")
    if len(near) != len(far):
        raise UserError(f"near has {len(near)} samples and far {len(far)}: pass the two channels of one recording")
    spectrum = stft(near, window_samples)
    removed = spectrum - cancelled_spectrum(spectrum, stft(far, window_samples), taps, ridge, causal)
    # What is removed goes back to samples rather than what remains: near stays as it is where nothing is predicted, and
    # at an end that windows hardly cover.
    return near - istft(removed, len(near), window_samples, LEAST_COVERAGE)


def cancelled_spectrum(
    near: ArrayLike, far: ArrayLike, taps: int = 9, ridge: float = 1e-3, causal: bool = False
) -> Spectrum:
    """Y = C - Z h (frames, bins) complex128 from the spectra C of near and F of far, each (frames, bins).

    Per frequency, row t of Z holds taps = 2m + 1 frames of far around t, F[t-m] ... F[t+m], or the last ones up to t if
    causal, with zeros beyond the ends, and h = (Z^H Z + (ridge * trace(Z^H Z) / taps + 1e-12) I)^-1 Z^H C. One tap
    without ridge is the single-tap form h = sum(C F*) / (sum |F|^2 + 1e-12).
    """
    check_options(taps, ridge, causal)
    before = taps - 1 if causal else taps // 2  # frames of far that precede the one of near
    # One row a frequency; of spectra that `stft` made, these are views.
    c, f = (np.ascontiguousarray(np.asarray(spectrum, dtype=np.complex128).T) for spectrum in (near, far))
    if c.shape != f.shape or c.ndim != 2:
        raise UserError(f"spectra of shapes {c.T.shape} and {f.T.shape}: pass (frames, bins) of one recording twice")
    bins, frames = c.shape
    padded = np.empty((bins, taps - 1 + frames), dtype=np.complex128)
    padded[:, :before] = padded[:, before + frames :] = 0
    padded[:, before : before + frames] = f
    shifted = sliding_window_view(padded, frames, axis=1)  # (bins, taps, frames), a view: the transposed Z
    return _subtract(c, _solve(_equations(c, padded, shifted), ridge), shifted).T


def check_options(taps: int, ridge: float, causal: bool) -> None:
    """UserError for taps and a ridge that `cancelled_spectrum` does not take."""
    if not 1 <= taps <= MOST_TAPS:
        raise UserError(f"taps {taps}: write 1 to {MOST_TAPS}")
    if taps % 2 == 0 and not causal:
        raise UserError(f"taps {taps}: write an odd number, as many frames before as after, or set causal")
    if not 0 <= ridge < np.inf:
        raise UserError(f"ridge {ridge}: write 0 or more")


def _channel(samples: ArrayLike, name: str) -> NDArray[np.float64]:
    """A channel as a finite array (samples,)."""
    array = np.asarray(samples, dtype=np.float64)
    if array.ndim != 1:
        raise UserError(f"{name} is an array of shape {array.shape}: pass one channel (samples,)")
    if not np.isfinite(array).all():
        raise UserError(f"{name} has samples that are not finite: read the recording again or leave it out")
    return array


def _products(left: Spectrum, right: Spectrum) -> Spectrum:
    """Sums over frames of conj(left) * right, along the last axis."""
    return sum(np.vecdot(left[..., now], right[..., now]) for now in _parts(left.shape[-1], FRAMES_AT_ONCE))


def _equations(c: Spectrum, padded: Spectrum, shifted: Spectrum) -> Spectrum:
    """Z^H Z, its upper triangle only, and behind it Z^H C, as (taps, taps + 1, bins).

    An entry of Z^H Z sums conj(F[t+i]) F[t+j] over the frames t; the next one on its diagonal sums the same products
    one frame later. So the first row gives the others, with what enters at one end and what leaves at the other.
    """
    taps, frames = shifted.shape[1:]
    system = np.empty((taps, taps + 1, len(c)), dtype=np.complex128)
    system[0, :taps] = _products(shifted[:, :1], shifted).T
    system[:, taps] = _products(shifted, c[:, None]).T
    leaving, entering = (np.ascontiguousarray(edge.T) for edge in (padded[:, : taps - 1], padded[:, frames:]))
    for row in range(taps - 1):
        change = entering[row].conj() * entering[row:] - leaving[row].conj() * leaving[row:]
        np.add(system[row, row:-2], change, out=system[row + 1, row + 1 : taps])
    return system


def _solve(system: Spectrum, ridge: float) -> Spectrum:
    """h (bins, taps) by Cholesky elimination of all frequencies at once, in half the time of np.linalg.solve; in place.

    A tap that the ones before it predict exactly, possible without ridge only, has no weight.
    """
    taps, _, bins = system.shape
    diagonal = np.einsum("iik->ik", system[:, :taps])  # a view
    diagonal += ridge / taps * diagonal.real.sum(axis=0) + LEAST_RIDGE
    inverse = np.zeros((taps, bins))
    for tap in range(taps):
        pivot = system[tap, tap].real
        np.divide(1.0, pivot, out=inverse[tap], where=pivot > 0)
        factors = system[tap, tap + 1 : taps].conj() * inverse[tap]
        for row, factor in enumerate(factors, tap + 1):
            system[row, row:] -= factor * system[tap, row:]
    weights = system[:, taps]
    for tap in reversed(range(taps)):
        weights[tap] *= inverse[tap]
        weights[:tap] -= system[:tap, tap] * weights[tap]
    return np.ascontiguousarray(weights.T)


def _subtract(c: Spectrum, weights: Spectrum, shifted: Spectrum) -> Spectrum:
    """C - Z h (bins, frames), in parts that fit the cache."""
    rest = np.empty_like(c)
    # The matrix library does not take a view whose rows overlap.
    copies = np.empty((BINS_AT_ONCE, shifted.shape[1], min(c.shape[1], FRAMES_OF_A_PRODUCT)), dtype=np.complex128)
    for part in _parts(len(c), BINS_AT_ONCE):
        for now in _parts(c.shape[1], FRAMES_OF_A_PRODUCT):
            z = copies[: part.stop - part.start, :, : now.stop - now.start]
            z[:] = shifted[part, :, now]
            np.subtract(c[part, now], np.matmul(weights[part, None], z)[:, 0], out=rest[part, now])
    return rest


def _parts(length: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover a length."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
