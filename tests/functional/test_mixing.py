"""Rules of ensembles: by hand, and weights against a second way to find them."""

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression

from fer_lightning.functional.mixing import RULES, combine, mixture_weights

#: Three members, one sample, three classes.
THREE = np.array([[[0.6, 0.4, 0.0]], [[0.5, 0.3, 0.2]], [[0.0, 0.9, 0.1]]])


def of(rule: str, probabilities: np.ndarray, weights: np.ndarray | None = None):
    mixed, chosen = combine(rule, probabilities, probabilities.argmax(axis=-1), weights)
    return mixed[0], chosen[0]


def test_the_mean_by_hand():
    mixed, chosen = of("mean", THREE)
    assert mixed == pytest.approx([1.1 / 3, 1.6 / 3, 0.1])
    assert chosen == 1


def test_the_vote_by_hand():
    mixed, chosen = of("vote", THREE)
    assert mixed == pytest.approx([2 / 3, 1 / 3, 0])
    assert chosen == 0


def test_weights_by_hand():
    mixed, chosen = of("weights", THREE, np.array([[0.5, 0.5, 0.0]]))
    assert mixed == pytest.approx([0.55, 0.35, 0.1])
    assert chosen == 0


def test_the_geometric_mean_by_hand():
    two = np.array([[[0.8, 0.2]], [[0.2, 0.8]], [[0.5, 0.5]]])
    assert of("logmean", two)[0] == pytest.approx([0.5, 0.5])
    mixed, _ = of("logmean", np.array([[[0.9, 0.1]], [[0.4, 0.6]]]))
    a, b = (0.9 * 0.4) ** 0.5, (0.1 * 0.6) ** 0.5
    assert mixed == pytest.approx([a / (a + b), b / (a + b)])


def test_a_probability_that_was_rounded_to_zero_is_no_veto_for_ever():
    mixed, chosen = of("logmean", np.array([[[0.0, 1.0]], [[1.0, 0.0]], [[0.9, 0.1]]]))
    assert np.isfinite(mixed).all()
    assert chosen == 0


@pytest.mark.parametrize(
    ("second", "winner"),
    [([0.45, 0.55, 0.0], 0), ([0.2, 0.8, 0.0], 1)],  # means .525 : .475 and .4 : .6
)
def test_ties_of_votes_are_decided_by_the_mean_probability(second, winner):
    mixed, chosen = of("vote", np.array([[[0.6, 0.4, 0.0]], [second]]))
    assert mixed == pytest.approx([0.5, 0.5, 0.0])
    assert chosen == winner


def test_a_class_without_the_most_votes_does_not_win_a_tie():
    # Class 2 has the highest mean (.38) but no vote; classes 0 and 1 have one each.
    members = np.array([[[0.5, 0.1, 0.4]], [[0.1, 0.54, 0.36]]])
    assert of("vote", members)[1] == 1


@pytest.mark.parametrize(("rule", "voting"), [("mean", "soft"), ("vote", "hard"), ("weights", "soft")])
def test_rules_agree_with_scikit_learn(rule, voting):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)), rng.integers(3, size=300)
    x[:, 0] += y
    members = [(str(c), LogisticRegression(C=c)) for c in (1e-3, 1e-2, 1.0)]
    weights = [0.2, 0.5, 0.3] if rule == "weights" else None
    model = VotingClassifier(members, voting=voting, weights=weights).fit(x, y)
    found = np.stack([each.predict_proba(x) for each in model.estimators_])
    mixed, chosen = combine(rule, found, found.argmax(axis=-1), np.tile(weights, (300, 1)) if weights else None)
    clear = np.sort(mixed, axis=1)[:, -1] > np.sort(mixed, axis=1)[:, -2]  # scikit-learn gives ties to the first class
    assert clear.sum() > 250
    assert (model.predict(x) == chosen)[clear].all()
    if voting == "soft":
        assert mixed == pytest.approx(model.predict_proba(x))


@pytest.mark.parametrize("rule", RULES)
def test_equal_members_give_what_each_gives(rule):
    one = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    both = np.stack([one, one])
    mixed, chosen = combine(rule, both, both.argmax(axis=-1), np.full((50, 2), 0.5))
    assert (chosen == one.argmax(axis=1)).all()
    if rule != "vote":
        assert mixed == pytest.approx(one)


def test_another_rule_is_refused():
    with pytest.raises(ValueError, match="rule='max' is not one of"):
        of("max", THREE)


def test_all_weight_goes_to_a_perfect_member():
    rng = np.random.default_rng(0)
    likelihoods = np.column_stack([rng.uniform(0, 0.9, 80), np.ones(80), rng.uniform(0, 0.9, 80)])
    assert mixture_weights(likelihoods).tolist() == [0.0, 1.0, 0.0]


def test_two_members_that_are_right_in_turn_share_as_often():
    # Right on 3 and 1 of 4 samples, otherwise 0: -log w - log(1 - w) / 3 is least at w = 3/4.
    assert mixture_weights(np.array([[1, 0], [1, 0], [1, 0], [0, 1]])) == pytest.approx([0.75, 0.25], abs=1e-4)


def test_equal_members_share_equally():
    one = np.random.default_rng(0).uniform(size=(50, 1))
    assert mixture_weights(np.hstack([one, one])).tolist() == [0.5, 0.5]


def expectation_maximisation(likelihoods: np.ndarray) -> np.ndarray:
    """The same weights by another road: those of a mixture, which EM finds (slowly)."""
    weights = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
    for _ in range(3000):
        weights = weights * (likelihoods / (likelihoods @ weights)[:, None]).mean(axis=0)
    return weights


@pytest.mark.parametrize("seed", range(5))
def test_no_weights_have_a_lower_cross_entropy(seed):
    rng = np.random.default_rng(seed)
    likelihoods = rng.beta(0.6, 0.5, size=(120, 5)) * 0.999 + 1e-4
    weights = mixture_weights(likelihoods)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    loss = -np.log(likelihoods @ weights).mean()
    assert loss <= -np.log(likelihoods @ expectation_maximisation(likelihoods)).mean() + 1e-6
    others = rng.dirichlet(np.full(5, 0.5), size=2000)
    assert loss <= -np.log(likelihoods @ others.T).mean(axis=0).min() + 1e-9


def test_weights_are_the_same_each_time():
    likelihoods = np.random.default_rng(0).uniform(size=(300, 6))
    assert (mixture_weights(likelihoods) == mixture_weights(likelihoods)).all()


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((0, 2)), np.array([[0.5, 1.5]]), np.array([[0.5, np.nan]])])
def test_what_are_no_likelihoods_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected likelihoods \(samples, members\) in \[0, 1\]"):
        mixture_weights(wrong)
