import torch

from models.vocabulary import ADJECTIVES, DIMENSIONS, PAIRS, WORDS, dimension_scores, pair_probabilities


def test_the_table_has_twenty_pairs_of_distinct_words_in_six_dimensions() -> None:
    assert len(PAIRS) == 20
    assert len(set(WORDS)) == 40
    assert DIMENSIONS == ("sharpness", "brightness", "colorfulness", "contrast", "noisiness", "overall")
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
    similarities = torch.randn(3, 4, 40)
    probabilities = pair_probabilities(similarities, 10.0)
    expected = torch.sigmoid(10 * (similarities[..., 0::2] - similarities[..., 1::2]))
    torch.testing.assert_close(probabilities[..., 0::2], expected)
    torch.testing.assert_close(probabilities[..., 0::2] + probabilities[..., 1::2], torch.ones(3, 4, 20))


def test_a_dimension_is_the_mean_of_its_good_words() -> None:
    probabilities = torch.rand(2, 40)
    sharpness = probabilities[:, [0, 2, 4, 6]].mean(dim=1)
    overall = probabilities[:, [32, 34, 36, 38]].mean(dim=1)
    dimensions = dimension_scores(probabilities)
    assert dimensions.shape == (2, 6)
    torch.testing.assert_close(dimensions[:, 0], sharpness)
    torch.testing.assert_close(dimensions[:, 5], overall)
