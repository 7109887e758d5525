"""How often the host may wait for the GPU, and how many copies may block it: the one table of all tests here.

Who removes a wait or a copy lowers its number.
"""

from typing import NamedTuple


class Ceiling(NamedTuple):
    """Largest numbers of waits and blocking copies, and the reason."""

    waits: int
    copies: int
    why: str


CEILINGS = {
    # a training step
    "cam": Ceiling(3, 0, "pairs and their number per class are read from the GPU, and the numbers of the step"),
    "clims": Ceiling(
        9, 7, "in addition pairs for the judge, and counts per class; texts and indices are sent unpinned"
    ),
    "qa-clims": Ceiling(9, 7, "as clims"),
    "qa-clims-path": Ceiling(20, 7, "in addition masks as indices: classes of negatives, and the floor of areas"),
    "a chunk": Ceiling(11, 2, "each further chunk of pairs: negatives by masks, forward and backward, and counts"),
    "a micro-batch": Ceiling(19, 7, "each further micro-batch"),
    "fp16": Ceiling(2, 0, "the loss scale, and whether a gradient overflowed"),
    "segmenter": Ceiling(1, 0, "the numbers of the step"),
    "all losses": Ceiling(12, 2, "two micro-batches: focal loss and dice take the known pixels by masks"),
    "boundary": Ceiling(1, 0, "the numbers of the step"),
    "judge": Ceiling(13, 7, "captions and counts are read and sent one by one"),
    # the regions of one chunk of pairs, forward and backward
    "regions": Ceiling(0, 0, "everything stays on the GPU"),
    # one batch of images
    "refiner none": Ceiling(0, 0, "everything stays on the GPU"),
    "refiner par": Ceiling(0, 1, "the positions of the neighbours"),
    "refiner irn": Ceiling(0, 0, "everything stays on the GPU"),
    "refiner crf": Ceiling(3, 3, "the dense CRF runs on the CPU: images, maps and present classes there, masks back"),
    "predict": Ceiling(0, 1, "the images"),
    "predict windows": Ceiling(1, 1, "the images; MONAI reads one number"),
    # whole stages, with the loading of their models
    "maps": Ceiling(
        2, 37, "probabilities and maps of a batch are read; images, and 33 weights of the network, are sent"
    ),
    "masks": Ceiling(12, 115, "four images, read one by one; weights are sent one by one"),
    "segment": Ceiling(2, 58, "the probabilities of each of two batches are read; images, and the weights, are sent"),
    "answers": Ceiling(34, 18, "each word is read, to know when an answer ends"),
}
