"""The data sets that ``iqa benchmark`` knows: the only list of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.datasets import readers
from models.datasets.labels import LabeledImage, LayoutError


@dataclass(frozen=True)
class Dataset:
    """A published data set.

    Attributes:
        name: on the command line.
        title: for people.
        reader: of the labels, given the folder.
        images: patterns of folders of images below the data set's; those of the first that is there count.
        references: likewise, of references; none where the data set has no references.
        layout: which files it has, to be read after "as published it has".
        citation: the paper to cite.
        license: what its authors say of its use, as far as we know.
        lower_is_better: whether its labels are DMOS, which grow with the distortion.
        note: what else to know of the figures.
    """

    name: str
    title: str
    reader: Callable[[Path], list[LabeledImage]]
    images: tuple[str, ...]
    layout: str
    citation: str
    license: str
    references: tuple[str, ...] = ()
    lower_is_better: bool = False
    note: str = ""

    def read(self, folder: Path) -> list[LabeledImage]:
        """What the labels say.

        Raises:
            LayoutError: the folder is not the data set's as published.
        """
        if not folder.is_dir():
            raise LayoutError(f"There is no folder {folder}.")
        try:
            found = self.reader(folder)
        except LayoutError as error:
            raise LayoutError(f"{error} {self.title} as published has {self.layout}.") from error
        if not found:
            raise LayoutError(f"The labels of {self.title} in {folder} name no image.")
        return found


_UNKNOWN: Final = "see the authors' page"
_AUSTIN: Final = "the notice of UT Austin: any use, with the notice kept and the source named"

DATASETS: Final[Mapping[str, Dataset]] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "koniq-10k",
            "KonIQ-10k",
            readers.koniq,
            images=("1024x768", "512x384"),
            layout="1024x768/ or 512x384/ and koniq10k_distributions_sets.csv (from github.com/subpic/koniq)",
            citation="Hosu et al., IEEE Transactions on Image Processing 29, 2020",
            license=_UNKNOWN,
            note="IQA-PyTorch's figures are of the images in 512x384.",
        ),
        Dataset(
            "spaq",
            "SPAQ",
            readers.spaq,
            images=("TestImage",),
            layout="TestImage/ and Annotations/MOS and Image attribute scores.xlsx",
            citation="Fang et al., CVPR 2020",
            license=_UNKNOWN,
            note="IQA-PyTorch brings these images down to 448 px first; here they are given as they are.",
        ),
        Dataset(
            "clive",
            "LIVE In the Wild (CLIVE)",
            readers.clive,
            images=("Images",),
            layout="Images/, Data/AllImages_release.mat and Data/AllMOS_release.mat",
            citation="Ghadiyaram and Bovik, IEEE Transactions on Image Processing 25, 2016",
            license=_AUSTIN,
        ),
        Dataset(
            "kadid-10k",
            "KADID-10k",
            readers.kadid,
            images=("images",),
            references=("images",),
            layout="images/ and dmos.csv",
            citation="Lin et al., QoMEX 2019",
            license=_UNKNOWN,
        ),
        Dataset(
            "tid2013",
            "TID2013",
            readers.tid2013,
            images=("distorted_images",),
            references=("reference_images",),
            layout="distorted_images/, reference_images/ and mos_with_names.txt",
            citation="Ponomarenko et al., Signal Processing: Image Communication 30, 2015",
            license=_UNKNOWN,
        ),
        Dataset(
            "live",
            "LIVE, release 2",
            readers.live,
            images=(".",),
            references=("refimgs",),
            layout="jp2k/, jpeg/, wn/, gblur/, fastfading/, refimgs/, dmos.mat and refnames_all.mat",
            citation="Sheikh et al., IEEE Transactions on Image Processing 15, 2006",
            license=_AUSTIN,
            lower_is_better=True,
            note="The labels are those of dmos.mat, as IQA-PyTorch takes them, not the realigned ones.",
        ),
        Dataset(
            "csiq",
            "CSIQ",
            readers.csiq,
            images=("dst_imgs",),
            references=("src_imgs",),
            layout="dst_imgs/ with a folder for each distortion, src_imgs/ and csiq.DMOS.xlsx",
            citation="Larson and Chandler, Journal of Electronic Imaging 19, 2010",
            license=_UNKNOWN,
            lower_is_better=True,
        ),
        Dataset(
            "pipal",
            "PIPAL",
            readers.pipal,
            images=("Dist_Imgs", "Train_Dist", "Distortion_*"),
            references=("Train_Ref",),
            layout="Distortion_1/ to Distortion_4/ (or Dist_Imgs/), Train_Ref/ and Train_Label/",
            citation="Gu et al., ECCV 2020",
            license=_UNKNOWN,
            note="Only the part whose labels are public.",
        ),
        Dataset(
            "biq2021",
            "BIQ2021",
            readers.biq2021,
            images=("Images",),
            layout="Images/, Train (Images and MOS).csv and Test (Images and MOS).csv",
            citation="Ahmed and Asif, Journal of Electronic Imaging 31, 2022",
            license="free for use and benchmarking, says the paper; there is no license file",
            note="The bundled weights learned from its training split.",
        ),
    )
}
