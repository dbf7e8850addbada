"""How models answer to faults made on purpose: do scores fall with the level, do the words name the fault.

Works on any good photographs; those that a model was trained on say nothing.
"""

from models.training.robustness.answers import (
    ORDERED,
    Answers,
    Scorer,
    answers_to,
    ask,
    levels_of,
    scored,
    spoilt,
)
from models.training.robustness.examination import (
    SHORTEST_SIDE,
    Examined,
    Judge,
    Opinion,
    Opinions,
    Teacher,
    answers,
    examine,
    images_of_each,
    seed_of,
)
from models.training.robustness.figures import (
    Figures,
    FullReference,
    Movement,
    Order,
    TeacherAgreement,
    Words,
    figures,
    full_reference,
    order,
    steadiness,
    words,
)
from models.training.robustness.harmless import HARMLESS

__all__ = [
    "HARMLESS",
    "ORDERED",
    "SHORTEST_SIDE",
    "Answers",
    "Examined",
    "Figures",
    "FullReference",
    "Judge",
    "Movement",
    "Opinion",
    "Opinions",
    "Order",
    "Scorer",
    "Teacher",
    "TeacherAgreement",
    "Words",
    "answers",
    "answers_to",
    "ask",
    "examine",
    "figures",
    "full_reference",
    "images_of_each",
    "levels_of",
    "order",
    "scored",
    "seed_of",
    "spoilt",
    "steadiness",
    "words",
]
