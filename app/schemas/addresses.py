"""What requests carry that say where images lie, in place of the images."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ImageAddress(BaseModel):
    """An image by its address."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Annotated[
        str,
        Field(
            description="Of the image: `https://`, `http://`, `s3://`, `gs://` or `az://`, on a host or in a "
            "bucket that the server's settings name.",
            examples=["https://images.example.com/photo.jpg"],
            min_length=1,
            max_length=2048,
        ),
    ]


class PairAddresses(BaseModel):
    """Both images of a comparison by their addresses."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reference: Annotated[ImageAddress, Field(description="The image that the other one is compared with.")]
    distorted: Annotated[ImageAddress, Field(description="The image that is judged.")]


class BatchAddresses(BaseModel):
    """The images of a batch by their addresses."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: Annotated[
        list[ImageAddress], Field(description="In the order of the answer's `index`.", min_length=1)
    ]
