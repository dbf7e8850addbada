"""Scores by a cluster of machines that Ray manages (extra `ray`).

:class:`ScorePictures` is for pipelines of one's own; :mod:`app.bulk.ray_data.source` is ``iqa score --ray``.
"""

from app.bulk.ray_data.actors import ScorePictures

__all__ = ["ScorePictures"]
