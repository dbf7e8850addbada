"""The second opinion of scored photographs."""

import numpy as np
from scipy.stats import spearmanr

from models.training.targets.regressions import second_opinion


def test_it_agrees_with_people_where_features_tell_and_does_not_copy_their_noise() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(400, 30)).astype(np.float32)
    truth = 0.5 + 0.1 * features[:, 0]
    scores = (truth + draw.normal(scale=0.1, size=400)).clip(0, 1)
    found = second_opinion(features, scores)
    assert ((found >= 0) & (found <= 1)).all()
    assert spearmanr(found, truth)[0] > 0.8
    noise, copied = scores - truth, found - truth
    assert abs(np.corrcoef(noise, copied)[0, 1]) < 0.15


def test_a_photograph_s_own_score_has_no_part_in_it() -> None:
    draw = np.random.default_rng(1)
    features, scores = draw.normal(size=(30, 5)).astype(np.float32), draw.random(30)
    other = scores.copy()
    other[7] = 1 - other[7]
    assert second_opinion(features, scores)[7] == second_opinion(features, other)[7]
    assert (second_opinion(features, scores) != second_opinion(features, other)).any()
