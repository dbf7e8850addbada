"""The budget of a batch after memory ran out."""

from app.inference.batching import Budget
from app.inference.worker.batch_budget import ElasticBudget

MOST = Budget(pixels=2**20, count=8, waste=0.25)


def test_it_is_what_is_configured_while_all_is_well() -> None:
    budget = ElasticBudget(MOST)
    budget.went_well(2**22)  # a single large request
    assert budget.now == MOST


def test_it_is_halved_and_rises_slowly() -> None:
    budget = ElasticBudget(MOST)
    budget.ran_out(2**20)
    assert budget.now == Budget(2**19, 8, 0.25)
    budget.went_well(2**18 - 1)  # says nothing about what a full one would need
    assert budget.now.pixels == 2**19
    steps = 0
    while budget.now.pixels < MOST.pixels:
        before = budget.now.pixels
        budget.went_well(before)
        assert before < budget.now.pixels <= 1.05 * before + 1
        steps += 1
    assert steps == 15
    assert budget.now == MOST


def test_what_ran_out_is_halved_where_it_was_less_than_allowed() -> None:
    budget = ElasticBudget(MOST)
    budget.ran_out(2**18)
    assert budget.now.pixels == 2**17
    budget.ran_out(2**22)
    assert budget.now.pixels == 2**16


def test_it_has_a_floor() -> None:
    budget = ElasticBudget(MOST)
    for _ in range(10):
        budget.ran_out(100)
    assert budget.now.pixels == 2**16
    small = ElasticBudget(Budget(1000, 8, 0.25))
    small.ran_out(1000)
    assert small.now.pixels == 1000
