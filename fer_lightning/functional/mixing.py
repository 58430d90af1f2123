"""One prediction out of several: of the members of an ensemble, or of the views of a sample.

M predictions of n samples and C classes; weights may differ from sample to sample (from fold to fold).
"""

import numpy as np
from scipy.optimize import minimize

RULES = ("mean", "logmean", "vote", "weights")
#: Prediction files hold 8 decimals: 0.00000000 is anything below half of the last one.
LEAST = 5e-9


def combine(
    rule: str, probabilities: np.ndarray, chosen: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mix predictions.

    Args:
        rule: `mean` of the probabilities; `logmean`: their geometric mean, normalised again; `vote`: the share of the
            predictions that chose a class, ties decided by the mean probability (then by class order); `weights`:
            weighted mean.
        probabilities: ``(M, n, C)``.
        chosen: class indices that each predicted, ``(M, n)``.
        weights: ``(n, M)``, rows summing to 1; for `weights` only.

    Returns:
        Probabilities (of `vote`: shares) ``(n, C)`` and class indices ``(n,)``.

    Raises:
        ValueError: for another rule.

    Example:
        >>> both = np.array([[[0.9, 0.1]], [[0.4, 0.6]]])
        >>> shares, chosen = combine("vote", both, both.argmax(axis=-1))
        >>> shares.tolist(), chosen.tolist()  # a tie of one to one; .65 is more than .35
        ([[0.5, 0.5]], [0])
    """
    if rule == "weights":
        mixed = np.einsum("nm,mnc->nc", weights, probabilities)
    elif rule == "logmean":
        mixed = np.exp(np.log(np.maximum(probabilities, LEAST)).mean(axis=0))
        mixed /= mixed.sum(axis=-1, keepdims=True)
    elif rule in ("mean", "vote"):
        mixed = probabilities.mean(axis=0)
    else:
        raise ValueError(f"rule={rule!r} is not one of {RULES}")
    if rule != "vote":
        return mixed, mixed.argmax(axis=-1)
    votes = (chosen[..., None] == np.arange(probabilities.shape[-1])).sum(axis=0)
    most = votes == votes.max(axis=-1, keepdims=True)
    return votes / len(chosen), np.where(most, mixed, -1.0).argmax(axis=-1)


def mixture_weights(likelihoods: np.ndarray) -> np.ndarray:
    """Weights of the mean that has the least cross entropy on given samples (a convex problem, solved by SLSQP).

    Args:
        likelihoods: probability that each member gives to the true class, ``(n, M)``.

    Returns:
        ``(M,)``, at least 0, sum 1, rounded to 6 decimals. Equal members share equally.

    Raises:
        ValueError: for a wrong shape, no sample, or values outside ``[0, 1]``.
        RuntimeError: the cross entropy is not within 1e-3 of the least possible.

    Example:
        >>> mixture_weights(np.array([[0.9, 0.2], [0.8, 0.3]])).tolist()
        [1.0, 0.0]
    """
    likelihoods = np.asarray(likelihoods, dtype=float)
    if likelihoods.ndim != 2 or 0 in likelihoods.shape or not ((likelihoods >= 0) & (likelihoods <= 1)).all():
        raise ValueError(f"expected likelihoods (samples, members) in [0, 1], found the shape {likelihoods.shape}")
    likelihoods = np.maximum(likelihoods, LEAST)
    members = likelihoods.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(likelihoods @ weights, LEAST)
        return -np.log(mixed).mean(), -(likelihoods / mixed[:, None]).mean(axis=0)

    found = minimize(
        loss, np.full(members, 1 / members), jac=True, method="SLSQP", bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 500},
    )  # fmt: skip
    weights = np.clip(found.x, 0, 1)
    weights = np.round(weights / weights.sum(), 6)
    weights[weights.argmax()] += 1 - weights.sum()
    # Of a convex loss on the simplex: no other weights are better by more than this (Frank-Wolfe gap).
    gap = -loss(weights)[1].min() - 1
    if not gap <= 1e-3:
        raise RuntimeError(f"no best weights found: {found.message}; a cross entropy lower by {gap:.2g} may exist")
    return weights
