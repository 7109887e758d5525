"""Answers of BLIP and the training of a small judge on the pretended GPU."""

import numpy as np

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.pipeline.judge.options import JudgeTrainOptions
from qaclims_path.pipeline.judge.train import train_judge
from qaclims_path.types import Ask


def test_blip_answers(gpu, check, blip_folder):
    blip = load_answerer("blip", Setup(model=str(blip_folder), device="cuda", batch=2))
    pictures = [np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8) for seed in range(2)]
    asks = [
        Ask(f"image-{image}", lambda image=image: pictures[image], "tumor", question, "foreground", "")
        for image in range(2)
        for question in ("what kind of tumor is in the photo ?", "purple nuclei ?")
    ]
    gpu.clear()
    assert len(blip.answer(asks)) == 4
    check(gpu, "answers")


def test_steps_of_a_small_judge(steps, check, tmp_path, running):
    write_fake(load_card("bcss-wsss"), tmp_path / "data", images=8)
    options = JudgeTrainOptions(size=32, tower="test_convnext", width=16, epochs=1, batch=8)
    train_judge(load_card("bcss-wsss"), tmp_path / "data", tmp_path / "judge", options=options, running=running())
    assert steps
    for notes in steps:
        check(notes, "judge")
