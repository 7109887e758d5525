"""Labelling a split: what is written, resumed, scored and refused."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qaclims_path.compute.refiners.crf import refine_probabilities
from qaclims_path.compute.refiners.crf_settings import SEGMENTER
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import to_tensor
from qaclims_path.data.listing import list_records
from qaclims_path.data.split import open_split
from qaclims_path.engine.guards import OutOfMemory
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.images import read_mask
from qaclims_path.files.scores import read_scores
from qaclims_path.models.segmenters.predicting import Predictor
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.evaluation.stages import score_labels
from qaclims_path.pipeline.segmenter.options import load_seg_options
from qaclims_path.pipeline.segmenter.predict import predict
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions
from qaclims_path.pipeline.segmenter.split import split_of_segmenter
from qaclims_path.pipeline.segmenter.train import train_seg

BCSS = load_card("bcss-wsss")
FP32 = PredictOptions(precision="fp32", device="cpu")


def predict_of(run, split, root, *, dataset=None, protocol=None, options=FP32, out=None):
    """Label a split."""
    images = split_of_segmenter(run, root, split, dataset=dataset, protocol=protocol)
    return predict(run, images, options, out=out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, fake, quiet):
    """A run whose segmenter has been trained on true masks for a step or two."""
    settings = ["network.encoder=test_resnet", "network.weights=none", "network.architecture=unet", "augment.size=32"]
    more = ["train.epochs=4", "train.batch=2", "truth=true", "split=val", "train.lr=0.01"]
    options = load_seg_options("bcss-wsss/cam", [f"seg.{each}" for each in (*settings, *more)])
    run = tmp_path_factory.mktemp("trained") / "run"
    train_seg(options, fake("bcss-wsss"), run, running=quiet)
    return run


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_label_maps_are_in_the_codes_of_the_data_set_and_scored(run, fake):
    report = predict_of(run, "test", fake("bcss-wsss"), options=FP32)
    folder = run / "seg" / "predictions" / "test"
    assert (report.folder, report.images, report.kept, report.failed) == (str(folder), 4, 0, {})
    segmenter = Segmenter.from_pretrained(run)
    for record in list_records(BCSS, fake("bcss-wsss"), "test"):
        with torch.no_grad():
            wanted = segmenter(to_tensor(record.image.pixels())[None])[0].argmax(0)
        found = BCSS.decode(read_mask(folder / f"{record.id}.png"), record.id)
        assert (found == wanted.numpy()).mean() > 0.999
    again = evaluate(folder, BCSS, fake("bcss-wsss"), "test", made_with_gate="none")
    assert score_labels(folder, open_split(BCSS, fake("bcss-wsss"), "test")).scores == again.scores
    (entry,) = json.loads((folder / "scores" / "metrics.json").read_text())
    assert (entry["what"], entry["gate"], entry["protocol"]) == ("seg", "none", "mlps")


def test_memory_that_is_out_says_what_to_lower(run, fake, monkeypatch, out_of_memory):
    monkeypatch.setattr(Predictor, "__call__", out_of_memory)
    with pytest.raises(OutOfMemory, match=r"not enough memory for these images\. Lower --batch, or .*--window 512"):
        predict_of(run, "test", fake("bcss-wsss"), options=FP32)


def test_class_scores_give_the_same_labels(run, fake, tmp_path):
    root = fake("bcss-wsss")
    options = PredictOptions(write="scores", stride=1, precision="fp32", device="cpu")
    predict_of(run, "test", root, options=options, out=tmp_path / "scores")
    predict_of(run, "test", root, options=FP32)
    for record in list_records(BCSS, root, "test"):
        stored = read_scores(tmp_path / "scores" / f"{record.id}.npz")
        assert stored.classes == BCSS.names
        found = read_mask(run / "seg" / "predictions" / "test" / f"{record.id}.png")
        assert (stored.scores.argmax(0) == found).mean() > 0.99  # half precision has ties
        sure = read_mask(run / "seg" / "predictions" / "test" / "confidence" / f"{record.id}.png") / 255
        assert np.abs(sure - stored.scores.max(0)[::4, ::4]).max() < 0.01
    images = open_split(BCSS, root, "test")
    scores, labels = (score_labels(each, images) for each in (tmp_path / "scores", run / "seg/predictions/test"))
    assert scores.scores.miou == pytest.approx(labels.scores.miou, abs=0.01)
    coarse = PredictOptions(write="scores", precision="fp32", device="cpu")
    predict_of(run, "test", root, options=coarse, out=tmp_path / "coarse")
    record = list_records(BCSS, root, "test")[0]
    small = read_scores(tmp_path / "coarse" / f"{record.id}.npz")
    assert small.size == record.image.pixels().shape[:2]
    assert small.scores.shape[1:] == tuple(-(-side // 4) for side in small.size)


def test_an_interrupted_command_continues(run, fake, tmp_path):
    root = fake("bcss-wsss")
    whole = predict_of(run, "test", root, options=FP32, out=tmp_path / "whole")
    assert whole.kept == 0
    folder = run / "seg" / "predictions" / "test"
    predict_of(run, "test", root, options=FP32)
    first, *_ = list_records(BCSS, root, "test")
    (folder / f"{first.id}.png").unlink()
    (folder / f".{first.id}.17.part.png").write_bytes(b"half")
    report = predict_of(run, "test", root, options=FP32)
    assert report.kept == 3
    assert {path.name: path.read_bytes() for path in folder.glob("*.png")} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.png")
    }
    assert not list(folder.glob(".*.part.*"))


def test_a_folder_older_than_an_option_is_continued_without_it(run, fake):
    root = fake("bcss-wsss")
    note = Path(predict_of(run, "test", root).folder) / "predictions.json"
    settings = json.loads(note.read_text())
    note.write_text(json.dumps({key: settings[key] for key in settings if key not in ("crf", "average")}))
    assert predict_of(run, "test", root).kept == 4
    with pytest.raises(UsageError, match="made with other options: crf was none, now tissue"):
        predict_of(run, "test", root, options=PredictOptions(crf="tissue", precision="fp32", device="cpu"))
    note.write_text(json.dumps({key: settings[key] for key in settings if key != "flip"}))  # always there
    with pytest.raises(UsageError, match="made with other options: flip was not there"):
        predict_of(run, "test", root)


def test_other_settings_or_another_model_are_refused(run, fake):
    root = fake("bcss-wsss")
    predict_of(run, "test", root, options=FP32)
    with pytest.raises(UsageError, match="made with other options: flip was"):
        predict_of(run, "test", root, options=PredictOptions(flip=True, precision="fp32"))
    segmenter = Segmenter.from_pretrained(run)
    with torch.no_grad():
        next(segmenter.network.parameters()).add_(1)
    segmenter.save_pretrained(run / "seg")
    with pytest.raises(UsageError, match="made with other options: model was"):
        predict_of(run, "test", root, options=FP32)
    (run / "seg" / "predictions" / "test" / "predictions.json").write_text("{")
    with pytest.raises(BadFile, match=r"predictions\.json cannot be read"):
        predict_of(run, "test", root, options=FP32)


def test_a_card_with_other_classes_is_refused(run, fake):
    with pytest.raises(UsageError, match="trained for the classes tumor, stroma, lymphocyte, necrosis, not"):
        predict_of(run, "test", fake("bcss-wsss"), dataset="wsss4luad")
    card = BCSS.model_copy(update={"protocols": ("tpro", "voc")})
    with pytest.raises(UsageError, match="'voc' scores background, for which this segmenter has no channel"):
        predict_of(run, "test", fake("bcss-wsss"), dataset=card, protocol="voc")


def test_a_folder_without_a_segmenter_and_a_damaged_one(tmp_path, run, fake):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match="holds no segmenter"):
        predict_of(tmp_path / "empty", "test", fake("bcss-wsss"))
    weights = run / "seg" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BadFile, match="not a complete safetensors file"):
        predict_of(run, "test", fake("bcss-wsss"))


def test_pictures_that_cannot_be_read_are_noted(run, fake, tmp_path):
    root = tmp_path / "damaged"
    shutil.copytree(fake("bcss-wsss"), root)
    first, second, *_ = list_records(BCSS, root, "test")
    first.image.path.write_bytes(b"no picture")
    Image.open(second.image.path).convert("RGB").resize((50, 33)).save(second.image.path)
    Image.open(second.mask.path).resize((50, 33), 0).save(second.mask.path)
    report = predict_of(run, "test", root, options=FP32)
    assert list(report.failed) == [first.id]
    assert report.images == 3
    assert score_labels(Path(report.folder), open_split(BCSS, root, "test")).missing == 1
    assert read_mask(run / "seg" / "predictions" / "test" / f"{second.id}.png").shape == (33, 50)


def test_images_of_another_pixel_size_are_scaled_and_that_is_said(run, fake, tmp_path):
    card = BCSS.model_copy(update={"mpp": 0.5})
    options = PredictOptions(precision="fp32", device="cpu", window=64)
    report = predict_of(run, "test", fake("bcss-wsss"), dataset=card, options=options, out=tmp_path / "scaled")
    assert "scaled by 2" in report.notes[0]
    picture = list_records(BCSS, fake("bcss-wsss"), "test")[0]
    assert read_mask(tmp_path / "scaled" / f"{picture.id}.png").shape == picture.image.pixels().shape[:2]
    scores = score_labels(tmp_path / "scaled", open_split(card, fake("bcss-wsss"), "test"))
    assert np.isfinite(scores.scores.miou)
    assert predict_of(run, "test", fake("bcss-wsss"), options=FP32).notes == ()


def test_a_segmenter_alone_names_its_data_set(run, fake, tmp_path):
    segmenter = Segmenter.from_pretrained(run)
    segmenter.save_pretrained(tmp_path / "alone")
    report = predict_of(tmp_path / "alone", "test", fake("bcss-wsss"), options=FP32)
    assert (report.dataset, report.folder) == ("bcss-wsss", str(tmp_path / "alone" / "predictions" / "test"))
    segmenter.spec = replace(segmenter.spec, about={})
    segmenter.save_pretrained(tmp_path / "nameless")
    with pytest.raises(UsageError, match="--dataset"):
        predict_of(tmp_path / "nameless", "test", fake("bcss-wsss"), options=FP32)


CRF = FP32.model_copy(update={"crf": "deeplabv2"})


@pytest.fixture
def mixed(run):
    """The run with random weights, whose predictions have several classes in every image."""
    torch.manual_seed(0)
    segmenter = Segmenter(Segmenter.from_pretrained(run).spec).eval()
    segmenter.save_pretrained(run / "seg")
    return run


def test_a_dense_crf_refines_the_probabilities_of_every_image(mixed, fake, tmp_path):
    root = fake("bcss-wsss")
    report = predict_of(mixed, "test", root, options=CRF)
    folder = mixed / "seg" / "predictions" / "test"
    assert (report.crf, report.images, report.failed) == ("deeplabv2", 4, {})
    assert json.loads((folder / "predictions.json").read_text())["crf"] == "deeplabv2"
    predictor = Predictor(Segmenter.from_pretrained(mixed))
    for record in list_records(BCSS, root, "test"):
        picture = record.image.pixels()
        before = predictor(picture[None])[0].numpy()
        wanted = refine_probabilities(picture, before, SEGMENTER)
        assert len(np.unique(before.argmax(0))) > 1
        assert (before.argmax(0) != wanted.argmax(0)).any()
        found = BCSS.decode(read_mask(folder / f"{record.id}.png"), record.id)
        assert (found == wanted.argmax(0)).mean() > 0.999
        sure = read_mask(folder / "confidence" / f"{record.id}.png") / 255
        assert np.abs(sure - wanted.max(0)[::4, ::4]).max() < 0.01
    scores = CRF.model_copy(update={"write": "scores", "stride": 1})
    predict_of(mixed, "test", root, options=scores, out=tmp_path / "scores")
    stored = read_scores(tmp_path / "scores" / f"{record.id}.npz")
    assert np.abs(stored.scores - wanted).max() < 1e-3
    with pytest.raises(UsageError, match="made with other options: crf was deeplabv2, now none"):
        predict_of(mixed, "test", root, options=FP32)


def test_labels_with_a_crf_do_not_depend_on_batches_and_threads(mixed, fake, tmp_path, monkeypatch):
    root, made = fake("bcss-wsss"), {}
    for batch, threads in ((1, 1), (16, 3)):
        counted = partial(lambda threads, _: threads, threads)
        monkeypatch.setattr("qaclims_path.pipeline.segmenter.predict.threads_beside", counted)
        options = CRF.model_copy(update={"batch": batch})
        out = tmp_path / str(batch)
        predict_of(mixed, "test", root, options=options, out=out)
        made[batch] = {path.name: read_mask(path) for path in sorted(out.glob("*.png"))}
    assert list(made[1]) == list(made[16])
    assert all((made[1][name] == made[16][name]).mean() > 0.9999 for name in made[1])


def test_an_image_that_a_crf_cannot_refine_is_noted(run, fake, monkeypatch):
    plain = Predictor.__call__

    def broken(self, pictures):
        with torch.inference_mode():
            return plain(self, pictures).index_fill(0, torch.tensor([0]), torch.nan)

    monkeypatch.setattr(Predictor, "__call__", broken)
    first, *_ = list_records(BCSS, fake("bcss-wsss"), "test")
    report = predict_of(run, "test", fake("bcss-wsss"), options=CRF.model_copy(update={"batch": 16}))
    assert "no probabilities" in report.failed[first.id]
    assert report.images == 4 - len(report.failed)
    assert not (Path(report.folder) / f"{first.id}.png").exists()


def test_scores_say_the_crf_and_class_scores_are_refined_when_they_are_scored(mixed, fake, tmp_path):
    root = fake("bcss-wsss")
    images = open_split(BCSS, root, "test")
    predict_of(mixed, "test", root, options=CRF)
    labels = score_labels(mixed / "seg" / "predictions" / "test", images)
    again = evaluate(mixed / "seg" / "predictions" / "test", BCSS, root, "test", made_with_gate="none")
    for report in (labels, again):
        assert report.crf == "deeplabv2"
        assert report.notes[0].startswith("Dense CRF deeplabv2: rounds 10, smoothness 1 px weight 3")
    (entry,) = json.loads((mixed / "seg" / "predictions" / "test" / "scores" / "metrics.json").read_text())
    assert entry["crf"] == "deeplabv2"
    fine = FP32.model_copy(update={"write": "scores", "stride": 1})
    predict_of(mixed, "test", root, options=fine, out=tmp_path / "plain")
    plain = evaluate(tmp_path / "plain", BCSS, root, "test")
    refined = evaluate(tmp_path / "plain", BCSS, root, "test", crf="deeplabv2")
    assert (plain.crf, refined.crf) == ("none", "deeplabv2")
    assert refined.scores.miou == pytest.approx(labels.scores.miou, abs=0.005)  # the stored scores are fp16
    assert plain.scores.miou != refined.scores.miou
    predict_of(mixed, "test", root, options=CRF.model_copy(update={"write": "scores"}), out=tmp_path / "refined")
    with pytest.raises(UsageError, match="'deeplabv2' has refined these class scores already"):
        evaluate(tmp_path / "refined", BCSS, root, "test", crf="tissue")
    assert evaluate(tmp_path / "refined", BCSS, root, "test").crf == "deeplabv2"
