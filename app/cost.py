"""What work costs in seconds: a part for each request and a part for each pixel, fitted as work is done.

A rate in pixels per second alone says little: it collapses in a stream of thumbnails, whose fixed part is
nearly all of their cost, and what waits then seems to take a hundred times as long as it does.
"""

from dataclasses import dataclass
from typing import Final

_MEGA: Final = 1e6
_KEPT: Final = 0.95  # of the weight of what was observed, with each further observation
_PRIOR: Final = 0.001  # weight of the prior, as a share of that of what was observed
_FIXED_SPREAD_S: Final = 0.01
_SLOPE_SPREAD: Final = 0.5
"""Which of the two parts gives way where observations cannot tell them apart: that per request by so many
seconds as easily as that per pixel by such a share of the prior."""
_LEAST_SLOPE: Final = 0.01  # of the prior
_SHORTEST_S: Final = 1e-4  # below that the clock and the scheduler are measured


@dataclass(frozen=True)
class Cost:
    """Seconds as a function of requests and pixels.

    Attributes:
        request_s: of each request.
        pixel_s: of each pixel.
    """

    request_s: float
    pixel_s: float

    def seconds(self, requests: float, pixels: float) -> float:
        """What so many requests of so many pixels in all take."""
        return self.request_s * requests + self.pixel_s * pixels

    def times(self, factor: float) -> "Cost":
        """The cost where everything takes `factor` times as long."""
        return Cost(self.request_s * factor, self.pixel_s * factor)

    @property
    def pixels_per_s(self) -> float:
        """The rate for images of a million pixels."""
        return _MEGA / self.seconds(1, _MEGA)


class CostFit:
    """A cost that follows what was measured.

    Least squares of relative errors, older observations weighing less and less, and a prior that decides
    where they do not: equal images cannot tell the fixed part from the part per pixel.

    Args:
        prior: what is assumed before the first observation; its part per pixel is above zero.

    Attributes:
        cost: as far as is known now.
    """

    def __init__(self, prior: Cost) -> None:
        self.cost = prior
        self._prior = prior
        # Sums over the observations, in requests (r), megapixels (p) and seconds (s).
        self._rr = self._rp = self._pp = self._rs = self._ps = self._weight = 0.0

    def observe(self, requests: int, pixels: int, seconds: float) -> None:
        """Learns that so many requests, of so many pixels in all, took so long."""
        seconds = max(seconds, _SHORTEST_S)
        # Between what is seen and what was expected: that a process was stopped once should not count much,
        # that everything is slower should.
        weight = 1.0 / (seconds * max(self.cost.seconds(requests, pixels), _SHORTEST_S))
        mega = pixels / _MEGA
        self._weight = _KEPT * self._weight + weight
        self._rr = _KEPT * self._rr + weight * requests**2
        self._rp = _KEPT * self._rp + weight * requests * mega
        self._pp = _KEPT * self._pp + weight * mega**2
        self._rs = _KEPT * self._rs + weight * requests * seconds
        self._ps = _KEPT * self._ps + weight * mega * seconds
        self.cost = self._solved()

    def _solved(self) -> Cost:
        fixed, slope = self._prior.request_s, self._prior.pixel_s * _MEGA
        of_fixed = _PRIOR * self._weight
        of_slope = of_fixed * (_FIXED_SPREAD_S / (_SLOPE_SPREAD * slope)) ** 2
        rr, pp = self._rr + of_fixed, self._pp + of_slope
        rs, ps = self._rs + of_fixed * fixed, self._ps + of_slope * slope
        determinant = rr * pp - self._rp**2
        found = (rs * pp - ps * self._rp) / determinant, (ps * rr - rs * self._rp) / determinant
        if found[0] < 0:
            found = 0.0, ps / pp
        least = _LEAST_SLOPE * slope
        if found[1] < least:
            found = max(0.0, (rs - least * self._rp) / rr), least
        return Cost(found[0], found[1] / _MEGA)
