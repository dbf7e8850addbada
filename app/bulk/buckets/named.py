"""Images that are meant by names of files, folders, objects and prefixes of buckets."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from app.bulk.image_files import Meant
from app.bulk.path_set import PathSet
from app.fetching.bucket_files import Buckets
from app.fetching.buckets import StoredObject
from app.imaging.formats.registry import SUFFIXES
from app.scoring.outcomes import FileName, ScoredFile


class Named:
    """The images that are meant, as :class:`app.bulk.image_files.Meant`: first files, then those in buckets.

    An address names an object, or a folder: the images below its prefix, however deep. They come in the
    order of their keys while the bucket is listed; a page of the list is held at a time.

    Args:
        named: files and folders, objects and prefixes.
        recursive: whether the folders within folders are searched too.
        done: names that are left out.

    Raises:
        BucketFailure: the library that reads buckets is missing.
    """

    def __init__(
        self, named: Iterable[FileName], *, recursive: bool = False, done: PathSet | tuple[()] = ()
    ) -> None:
        named = tuple(named)
        self._files = Meant(
            [each for each in named if isinstance(each, Path)], recursive=recursive, done=done
        )
        self._places = [each for each in named if isinstance(each, StoredObject)]
        self._buckets = Buckets() if self._places else None
        self._done = done
        self._in_buckets: list[ScoredFile] = []

    def __iter__(self) -> Iterator[FileName]:
        """The images; each once.

        Raises:
            BucketFailure: a bucket cannot be listed.
        """
        yield from self._files
        yield from self._stored()

    @property
    def failures(self) -> list[ScoredFile]:
        """Of the last :meth:`count`: folders that cannot be read, and what has no images."""
        return [*self._files.failures, *self._in_buckets]

    @property
    def stored(self) -> bool:
        """Whether some are in buckets, where to count them takes a request for each thousand."""
        return bool(self._places)

    def count(self, most: int | None = None) -> int:
        """How many there are now.

        Args:
            most: where the objects in buckets stop being counted.

        Raises:
            BucketFailure: a bucket cannot be listed.
        """
        return self._files.count() + sum(1 for _ in islice(self._stored(), most))

    def _stored(self) -> Iterator[StoredObject]:
        failures: list[ScoredFile] = []
        with PathSet() as met:
            for place in self._places:
                for found in self._images_at(place, failures):
                    if found not in self._done and (len(self._places) == 1 or met.add(found)):
                        yield found
        self._in_buckets = failures

    def _images_at(self, place: StoredObject, failures: list[ScoredFile]) -> Iterator[StoredObject]:
        assert self._buckets is not None
        if place.key and not place.key.endswith("/"):
            one = self._buckets.find(place)
            if one is not None:
                yield one
                return
        folder = place.key.rstrip("/")
        there = False
        for found in self._buckets.below(place):
            names = found.key[len(folder) :].lstrip("/").split("/")
            suffix = Path(names[-1]).suffix.lower()
            if suffix in SUFFIXES and not any(name.startswith(".") for name in names):
                there = True
                yield found
        if not there:
            failures.append(ScoredFile(place, None, "There is no image below this prefix."))
