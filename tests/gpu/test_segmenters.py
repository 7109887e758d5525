"""Segmenters on the pretended GPU: training of every architecture and loss, predictions of images and slides."""

import numpy as np
import pytest
import torch

from qaclims_path.data.split import open_split
from qaclims_path.models.segmenters.predicting import Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.segmenter.options import load_seg_options
from qaclims_path.pipeline.segmenter.predict import predict
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions
from qaclims_path.pipeline.segmenter.train import train_seg

TINY = [
    "seg.network.encoder=test_resnet",
    "seg.network.weights=none",
    "seg.augment.size=64",
    "seg.train.epochs=1",
    "seg.train.batch=2",
    "seg.train.clip=1.0",
]
ALL_LOSSES = "seg.loss.terms={ce: 1, focal: 1, dice: 1, tversky: 1}"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("architecture", ["unet", "deeplabv3plus", "segformer", "deeplabv1", "deeplabv2"])
def test_steps_of_every_architecture(steps, check, glas, tmp_path, running, architecture, precision):
    options = load_seg_options("glas/cam", [*TINY, f"seg.network.architecture={architecture}", "seg.truth=true"])
    train_seg(options, glas, tmp_path / "run", running=running(precision=precision))
    for number, notes in enumerate(steps):
        check(notes, "segmenter", *["first step"] * (number == 0), *["fp16"] * (precision == "fp16"))


@pytest.mark.parametrize(("terms", "weights"), [(ALL_LOSSES, "balanced"), ("seg.loss.terms={ce: 1}", "halves")])
def test_steps_with_all_losses_and_class_weights(terms, weights, steps, check, glas, tmp_path, running):
    settings = ["seg.network.architecture=unet", terms, f"seg.loss.class_weights={weights}", "seg.truth=true"]
    options = load_seg_options("glas/cam", [*TINY, *settings, "seg.train.accumulate=2"])
    train_seg(options, glas, tmp_path / "run", running=running())
    for number, notes in enumerate(steps):
        check(notes, "segmenter", *["first step"] * (number == 0))


@pytest.mark.parametrize("weights", ["none", "balanced", "halves"])
def test_steps_as_released(weights, steps, check, glas, tmp_path, running):
    settings = [
        "seg.network={architecture: deeplabv2, settings: {scales: [0.5, 0.75]}, encoder: test_resnet, weights: none}",
        "seg.loss={terms: {ce: 1}, size: logits}",
        f"seg.loss.class_weights={weights}",
        "seg.augment={size: 64, factors: [0.5, 1.5], fill: mean, pad: end, hsv: 10}",
        "seg.train={batchnorm: moving, stair: 10, accumulate: 2, clip: null}",
        "seg.truth=true",
    ]
    options = load_seg_options("glas/cam", [*TINY, *settings])
    train_seg(options, glas, tmp_path / "run", running=running())
    for number, notes in enumerate(steps):
        check(notes, "segmenter", *["first step"] * (number == 0))


def test_images_are_predicted_at_several_scales_and_in_windows(gpu, check, model):
    network = for_inference(Segmenter.from_pretrained(model), torch.device("cuda"), "bf16")
    for settings, name in (({"scales": (1.0, 0.75), "flip": True}, "predict"), ({"window": 64}, "predict windows")):
        make = Predictor(network, **settings)
        gpu.clear()
        assert make(np.zeros((1, 100, 132, 3), np.uint8)).is_cuda
        check(gpu, name)


def test_a_split_is_predicted(gpu, tmp_path, data, fitting):
    report = predict(fitting, open_split("bcss-wsss", data, "train"), PredictOptions(device="cuda"), out=tmp_path / "p")
    assert (report.images, report.precision) == (4, "bf16")
    assert not gpu.mixes, gpu


def test_a_slide_is_segmented(gpu, check, model, slide, tmp_path):
    options, work = SegmentOptions(size=128, flip=True), ComputeOptions(device="cuda", batch=8)
    report = segment(model, SegmentInputs((str(slide),)), tmp_path / "maps", options, work)
    assert (report.worked, report.failed) == (1, 0)
    check(gpu, "segment")
