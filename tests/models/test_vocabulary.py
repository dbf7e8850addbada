import numpy as np

from models.vocabulary import ADJECTIVES, DIMENSIONS, PAIRS, WORDS, dimension_scores, pair_probabilities


def test_the_table_has_twenty_pairs_of_distinct_words_in_six_dimensions() -> None:
    assert len(PAIRS) == 20
    assert len(set(WORDS)) == 40
    assert DIMENSIONS == ("sharpness", "brightness", "colorfulness", "contrast", "cleanness", "overall")
    assert [sum(pair.dimension == dimension for pair in PAIRS) for dimension in DIMENSIONS] == [
        4,
        3,
        3,
        3,
        3,
        4,
    ]


def test_adjectives_follow_the_pairs_good_word_first() -> None:
    for pair, good, bad in zip(PAIRS, ADJECTIVES[::2], ADJECTIVES[1::2], strict=True):
        assert (good.word, good.polarity) == (pair.positive, "positive")
        assert (bad.word, bad.polarity) == (pair.negative, "negative")
        assert good.dimension == bad.dimension == pair.dimension


def test_probabilities_are_a_softmax_over_each_pair() -> None:
    similarities = np.random.default_rng(1).normal(0, 1, (3, 4, 40))
    probabilities = pair_probabilities(similarities, 10.0)
    good, bad = np.exp(10 * similarities[..., 0::2]), np.exp(10 * similarities[..., 1::2])
    np.testing.assert_allclose(probabilities[..., 0::2], good / (good + bad), atol=1e-12)
    np.testing.assert_allclose(probabilities[..., 0::2] + probabilities[..., 1::2], 1)
    assert pair_probabilities(np.empty(0), 10.0).shape == (0,)  # of a model without adjectives
    assert dimension_scores(np.empty(0)).shape == (0,)


def test_a_dimension_is_the_mean_of_its_good_words() -> None:
    probabilities = np.random.default_rng(1).uniform(0, 1, (2, 40))
    sharpness = probabilities[:, [0, 2, 4, 6]].mean(axis=1)
    overall = probabilities[:, [32, 34, 36, 38]].mean(axis=1)
    dimensions = dimension_scores(probabilities)
    assert dimensions.shape == (2, 6)
    np.testing.assert_allclose(dimensions[:, 0], sharpness)
    np.testing.assert_allclose(dimensions[:, 5], overall)
