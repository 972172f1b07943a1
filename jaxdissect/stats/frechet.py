"""Fréchet distance between two sets of features, as normal distributions.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
NIPS 2017, equation 6, with the features of any network.
"""

import numpy as np

from jaxdissect.stats.moments import Moments


def frechet_distance(a: Moments, b: Moments) -> float:
    """Compute ``|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))``.

    Args:
        a: Moments of the features of one set with themselves.
        b: Those of the other.

    Returns:
        The squared distance; 0 for equal moments, in the squared unit of the features.

    Raises:
        ValueError: If the sets have different numbers of features.
    """
    if a.mean_a.shape != b.mean_a.shape:
        raise ValueError(f"`a` has {len(a.mean_a)} features, and `b` has {len(b.mean_a)}")
    # The trace of the root of C_a C_b is that of the symmetric C_a^(1/2) C_b C_a^(1/2).
    root = _root(a.covariance)
    values = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = np.sqrt(np.maximum(values, 0)).sum()
    apart = np.square(a.mean_a - b.mean_a).sum()
    distance = apart + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(float(distance), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
