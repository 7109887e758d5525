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
    "cam": Ceiling(1, 0, "the numbers of the step"),
    "clims": Ceiling(1, 0, "the numbers of the step"),
    "qa-clims": Ceiling(1, 0, "the numbers of the step"),
    "qa-clims-path": Ceiling(1, 0, "the numbers of the step"),
    "a chunk": Ceiling(0, 0, "each further chunk of pairs: its indices came with the batch"),
    "a micro-batch": Ceiling(0, 0, "each further micro-batch"),
    "fp16": Ceiling(0, 0, "whether a gradient overflowed is read from the numbers of the step"),
    "segmenter": Ceiling(1, 0, "the numbers of the step"),
    "first step": Ceiling(0, 2, "the field of noise and the class weights are sent once"),
    "boundary": Ceiling(1, 0, "the numbers of the step"),
    "judge": Ceiling(1, 0, "the numbers of the step"),
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
    "maps": Ceiling(1, 33, "the maps of each batch are read, while the next is computed; 33 weights are sent"),
    "maps of predicted classes": Ceiling(1, 0, "the probabilities of a batch are read, to choose its classes"),
    "masks": Ceiling(12, 115, "four images, read one by one; weights are sent one by one"),
    "segment": Ceiling(2, 58, "the probabilities of each of two batches are read; images, and the weights, are sent"),
    "answers": Ceiling(34, 18, "each word is read, to know when an answer ends"),
}
