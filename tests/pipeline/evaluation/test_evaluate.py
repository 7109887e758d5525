"""Evaluation from files to report, on small data sets written in their published layout."""

import csv
import json
import re
import shutil
import struct
import unicodedata
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.compute.confusion import confusion_matrix
from qaclims_path.compute.scores import score
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.errors import BadFile, PredictionProblem, UsageError
from qaclims_path.files.images import write_mask
from qaclims_path.files.scores import write_scores
from qaclims_path.pipeline.evaluation.evaluate import evaluate

CARD = load_card("bcss-wsss")
OPTIONS = {"bootstrap": 50}


@pytest.fixture(scope="module")
def bcss(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "BCSS-WSSS"
    write_fake(CARD, root, images=4)
    return root


@pytest.fixture(scope="module")
def truths(bcss):
    return {record.id: truth_of(CARD, record) for record in list_records(CARD, bcss, "val")}


def noisy(truth, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 5, truth.shape), truth).astype(np.uint8)


@pytest.fixture
def guesses(truths):
    return {image: noisy(truth, seed) for seed, (image, truth) in enumerate(truths.items())}


@pytest.fixture
def masks(tmp_path, guesses):
    folder = tmp_path / "masks"
    for image, labels in guesses.items():
        write_mask(folder / f"{image}.png", CARD.encode(labels), CARD.code_palette)
    return folder


@pytest.fixture
def maps(truths):
    rng = np.random.default_rng(0)
    return {image: rng.random((4, *truth.shape), np.float32) for image, truth in truths.items()}


@pytest.fixture
def scores_folder(tmp_path, maps):
    folder = tmp_path / "cams"
    for image, scores in maps.items():
        write_scores(folder / f"{image}.npz", scores, CARD.names)
    return folder


def whole_matrix(truths, guesses):
    return sum(confusion_matrix(truth, guesses[image], 4) for image, truth in truths.items())


@pytest.mark.parametrize("protocol", ["mlps", "pbip", "tpro"])
def test_label_maps_are_scored_under_each_protocol(bcss, truths, guesses, masks, protocol):
    report = evaluate(masks, "bcss-wsss", bcss, "val", protocol=protocol, **OPTIONS)
    mode = "ignore" if protocol == "mlps" else "penalise"
    expected = score(whole_matrix(truths, guesses), mode)
    assert report.scores.miou == expected.miou
    assert report.scores.mean_dice == expected.mean_dice
    assert [row.iou for row in report.per_class] == expected.iou.tolist()
    assert (report.images, report.missing, report.expected_images) == (4, 0, 3418)
    assert report.gate == "not stated"
    assert report.published == ()
    assert np.array_equal(report.confusion, whole_matrix(truths, guesses))


def test_grey_png_and_tiff_score_the_same_as_palette_png(bcss, guesses, masks, tmp_path):
    palette = evaluate(masks, CARD, bcss, "val", **OPTIONS)
    for suffix in (".png", ".tif", ".ome.tif", ".OME.TIFF"):
        folder = tmp_path / suffix.strip(".")
        folder.mkdir()
        for image, labels in guesses.items():
            codes, path = CARD.encode(labels), folder / f"{image}{suffix}"
            if suffix == ".png":
                Image.fromarray(codes).save(path)
            else:
                tifffile.imwrite(path, codes, ome="ome" in suffix.lower(), compression="deflate")
        assert evaluate(folder, CARD, bcss, "val", **OPTIONS).entry() == palette.entry()


def test_files_are_written_and_agree(bcss, masks, tmp_path):
    report = evaluate(masks, CARD, bcss, "val", out=tmp_path / "out", what="seg", **OPTIONS)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["confusion.csv", "counts.csv", "metrics.json", "per_class.csv", "per_image.csv"]
    (entry,) = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert entry == json.loads(json.dumps(report.entry()))
    for key in ("schema", "what", "dataset", "split", "protocol", "gate", "scores", "images", "missing", "absent"):
        assert key in entry
    assert entry["schema"] == 1
    assert entry["per_class"]["tumor"]["iou"] == report.per_class[0].iou
    assert entry["intervals"]["replicates"] == 50
    assert entry["boundary_iou"]["width"] == 0.02
    assert entry["per_image_means"]["images"] == 4
    with (tmp_path / "out" / "confusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["truth"] for row in rows] == [*CARD.names, "background"]
    assert [row["scored"] for row in rows] == ["yes"] * 4 + ["no"]
    counted = [[int(row[name]) for name in (*CARD.names, "background", "no class")] for row in rows]
    assert counted == report.confusion.tolist()
    with (tmp_path / "out" / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert np.mean([float(row["miou"]) for row in rows]) == pytest.approx(report.per_image_means.miou, abs=1e-5)
    assert {row["patient"] for row in rows} == {CARD.patient_of(row["image"]) for row in rows}
    with (tmp_path / "out" / "counts.csv").open() as file:
        found = list(csv.DictReader(file))
    for index, name in enumerate(CARD.names):  # summed over images, they are what the matrix says
        mine = [row for row in found if row["class"] == name]
        right, truth, predicted = (sum(int(row[key]) for row in mine) for key in ("right", "truth", "predicted"))
        scored = report.confusion[: len(CARD.names)]
        assert (right, truth, predicted) == (scored[index, index], scored[index].sum(), scored[:, index].sum())


def test_the_same_input_gives_the_same_files(bcss, masks, tmp_path):
    for name in "ab":
        evaluate(masks, CARD, bcss, "val", out=tmp_path / name, **OPTIONS)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_class_scores_are_scored_without_a_gate(bcss, truths, maps, scores_folder):
    report = evaluate(scores_folder, CARD, bcss, "val", **OPTIONS)
    guesses = {image: scores.argmax(0).astype(np.uint8) for image, scores in maps.items()}
    assert np.array_equal(report.confusion, whole_matrix(truths, guesses))
    assert report.gate == "none"


def test_the_oracle_gate_uses_the_true_classes(bcss, truths, maps, scores_folder):
    report = evaluate(scores_folder, CARD, bcss, "val", protocol="pbip", gate="oracle", **OPTIONS)
    guesses = {}
    for image, scores in maps.items():
        present = np.isin(np.arange(4), classes_in(CARD, truths[image]))
        guesses[image] = np.where(present[:, None, None], scores, -1).argmax(0).astype(np.uint8)
    assert np.array_equal(report.confusion, whole_matrix(truths, guesses))
    assert report.gate == "oracle"


def test_a_gate_from_a_table_obeys_the_protocol(bcss, truths, maps, scores_folder, tmp_path):
    rng = np.random.default_rng(1)
    table = {image: rng.choice([0.0, 0.1, 0.11, 0.9], 4) for image in maps}
    table[next(iter(table))] = np.array([0.05, 0.1, 0.02, 0.0])  # none above 0.1: mlps keeps the highest
    rows = [f"{image}.png,{','.join(map(str, row))}" for image, row in table.items()]
    gate = tmp_path / "gate.csv"
    gate.write_text("\n".join([f"image,{','.join(CARD.names)}", *rows, "elsewhere,1,1,1,1"]))
    report = evaluate(scores_folder, CARD, bcss, "val", protocol="mlps", gate=gate, **OPTIONS)
    guesses = {}
    for image, scores in maps.items():
        allowed = table[image] > 0.1
        allowed[table[image].argmax()] = True
        guesses[image] = np.where(allowed[:, None, None], scores, -1).argmax(0).astype(np.uint8)
    assert np.array_equal(report.confusion, whole_matrix(truths, guesses))
    assert report.gate == "predicted"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,tumor\nx,1", "no column stroma"),
        ("image,tumor,stroma,lymphocyte,necrosis\n", "no row for 4 images"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,2,0,0", "numbers in 0..1"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,nan,0,0", "numbers in 0..1"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,x,0,0", "line 2"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,0,0,0\n{id}.png,1,0,0,0", "listed twice"),
    ],
)
def test_gate_tables_that_do_not_fit_are_refused(bcss, truths, scores_folder, tmp_path, text, sentence):
    gate = tmp_path / "gate.csv"
    gate.write_text(text.format(id=next(iter(truths))))
    with pytest.raises(BadFile, match=sentence):
        evaluate(scores_folder, CARD, bcss, "val", gate=gate)


def test_published_rows_have_the_same_protocol_gate_and_split(bcss, masks):
    assert evaluate(masks, CARD, bcss, "val", made_with_gate="predicted", **OPTIONS).published == ()  # rows are of test
    test = {record.id: truth_of(CARD, record) for record in list_records(CARD, bcss, "test")}
    folder = masks.parent / "test-masks"
    for image, labels in test.items():
        write_mask(folder / f"{image}.png", CARD.encode(labels))
    oracle = evaluate(folder, CARD, bcss, "test", protocol="pbip", made_with_gate="oracle", **OPTIONS)
    assert oracle.gate == "oracle"
    assert {"PBIP", "QA-CLIMS"} <= {row.method for row in oracle.published}
    assert {row.gate for row in oracle.published} == {"oracle"}
    none = evaluate(folder, CARD, bcss, "test", protocol="pbip", made_with_gate="none", **OPTIONS)
    assert none.published == ()
    assert none.scores == oracle.scores  # a label changes no number
    assert oracle.scores.miou == 1


def test_a_gate_on_label_maps_is_refused_and_explained(bcss, masks):
    for gate in ("oracle", masks.parent / "gate.csv"):
        if gate != "oracle":
            names = [path.stem for path in masks.iterdir()]
            gate.write_text("\n".join([f"image,{','.join(CARD.names)}", *(f"{name},1,1,1,1" for name in names)]))
        with pytest.raises(UsageError, match="--made-with-gate"):
            evaluate(masks, CARD, bcss, "val", gate=gate)


def test_wrong_gates_are_refused(bcss, masks, scores_folder):
    with pytest.raises(UsageError, match="none, oracle, or a CSV file"):
        evaluate(scores_folder, CARD, bcss, "val", gate="orcale")
    with pytest.raises(UsageError, match="not both"):
        evaluate(scores_folder, CARD, bcss, "val", gate="oracle", made_with_gate="oracle")
    with pytest.raises(UsageError, match=r"'made_with_gate': .*given: 'magic'"):
        evaluate(masks, CARD, bcss, "val", made_with_gate="magic")
    with pytest.raises(BadFile, match=r"gate\.csv"):
        evaluate(scores_folder, CARD, bcss, "val", gate="gate.csv")


def test_everything_wrong_is_listed_at_once_and_nothing_is_written(bcss, masks, tmp_path):
    paths = sorted(masks.glob("*.png"))
    paths[0].unlink()
    codes = np.array(Image.open(paths[1]))
    Image.fromarray(codes[:-1]).save(paths[1])
    codes = np.array(Image.open(paths[2]))
    codes[0, :2] = 7, 9
    Image.fromarray(codes).save(paths[2])
    paths[3].write_bytes(paths[3].read_bytes()[:-40])
    Image.new("L", (4, 4)).save(masks / "stränge [1].png")
    with pytest.raises(PredictionProblem) as caught:
        evaluate(masks, CARD, bcss, "val", out=tmp_path / "out")
    text = str(caught.value)
    assert f"missing (1): {paths[0].stem}" in text
    assert "extra (1): stränge [1].png" in text
    assert f"wrong size (1): {paths[1].name} is 64 x 63 pixels and its truth 64 x 64" in text
    assert f"wrong codes (1): {paths[2].name} holds the code 7, 9" in text
    assert "unreadable (1)" in text
    assert paths[3].name in text
    assert "--allow-missing" in text
    assert not (tmp_path / "out").exists()


def test_only_the_first_ten_of_a_kind_are_named(bcss, masks):
    for i in range(14):
        Image.new("L", (4, 4)).save(masks / f"extra{i:02d}.png")
    with pytest.raises(PredictionProblem, match=r"extra \(14\): extra00.png, .*extra09.png, \.\.\.\.") as caught:
        evaluate(masks, CARD, bcss, "val")
    assert "extra10" not in str(caught.value)
    assert "--allow-missing" not in str(caught.value)


def rgb(path):
    Image.new("RGB", (64, 64)).save(path)


def deep(path):
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(path)


def huge(path):
    """A PNG whose header says 60 000 pixels squared."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def loop(path):
    path.unlink()
    path.symlink_to(path)


def text(path):
    path.write_text("not a picture")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (rgb, "RGB picture"),
        (deep, "I;16 picture"),
        (huge, "more pixels than can be read"),
        (loop, "cannot be opened"),
        (text, "not a picture"),
    ],
)
def test_images_that_are_no_label_maps_are_unreadable(bcss, masks, damage, sentence, tmp_path):
    damage(next(masks.glob("*.png")))
    with pytest.raises(PredictionProblem, match=rf"unreadable \(1\).*{sentence}"):
        evaluate(masks, CARD, bcss, "val", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tiffs_that_are_no_label_maps_are_refused(bcss, guesses, tmp_path):
    folder = tmp_path / "tiff"
    folder.mkdir()
    for i, (image, labels) in enumerate(guesses.items()):
        codes = CARD.encode(labels)
        wrong = (codes.astype(np.uint16), np.stack([codes] * 3), codes[:5], codes)[i]
        tifffile.imwrite(folder / f"{image}.tif", wrong, photometric="minisblack")
    (folder / f"{image}.tif").write_bytes(b"II*\x00 nonsense")
    with pytest.raises(PredictionProblem) as caught:
        evaluate(folder, CARD, bcss, "val")
    assert "unreadable (3)" in str(caught.value)
    assert "uint16" in str(caught.value)
    assert "wrong size (1)" in str(caught.value)


def test_class_scores_that_do_not_fit_are_refused(bcss, scores_folder, maps, tmp_path):
    first, second, third, fourth = list(maps)
    write_scores(scores_folder / f"{first}.npz", maps[first], ["tumour", *CARD.names[1:]])
    write_scores(scores_folder / f"{second}.npz", maps[second], CARD.names, size=(128, 128))
    write_scores(scores_folder / f"{third}.npz", maps[third] * 3, CARD.names)
    (scores_folder / f"{fourth}.npz").write_bytes(b"PK nothing")
    with pytest.raises(PredictionProblem) as caught:
        evaluate(scores_folder, CARD, bcss, "val", protocol="tpro", out=tmp_path / "out")
    message = str(caught.value)
    assert f"wrong classes (1): {first}.npz scores tumour, which 'bcss-wsss' does not have" in message
    assert f"wrong size (1): {second}.npz is 128 x 128" in message
    assert f"wrong scores (1): {third}.npz has scores outside 0..1" in message
    assert "unreadable (1)" in message
    assert not (tmp_path / "out").exists()


def test_folders_without_predictions_are_refused(bcss, masks, scores_folder, tmp_path):
    with pytest.raises(BadFile, match="cannot be listed"):
        evaluate(tmp_path / "nowhere", CARD, bcss, "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionProblem, match="holds no predictions"):
        evaluate(tmp_path / "empty", CARD, bcss, "val")
    with pytest.raises(PredictionProblem, match=f"Such files are in .*/cams, {re.escape(str(masks))}"):
        evaluate(masks.parent, CARD, bcss, "val")
    with pytest.raises(PredictionProblem, match="None of the 4 predictions"):
        evaluate(masks, CARD, bcss, "test", allow_missing=True)
    next(scores_folder.glob("*.npz")).rename(masks / "a.npz")
    with pytest.raises(PredictionProblem, match="both label maps and class scores"):
        evaluate(masks, CARD, bcss, "val")


def test_paths_that_are_no_folders_are_refused(bcss, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "loop"):
        with pytest.raises(BadFile, match="cannot be listed"):
            evaluate(tmp_path / name, CARD, bcss, "val")
    with pytest.raises(BadFile, match="does not exist"):
        evaluate(tmp_path, CARD, tmp_path / "no-root", "val")


def test_names_match_in_either_unicode_spelling(bcss, masks, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(bcss, root)
    name = next(masks.glob("*.png")).name
    for kind in ("img", "mask"):
        copied = root / "val" / kind
        (copied / name).rename(copied / unicodedata.normalize("NFC", f"é ä {name}"))
    (masks / name).rename(masks / unicodedata.normalize("NFD", f"é ä {name}"))
    assert evaluate(masks, CARD, root, "val", **OPTIONS).missing == 0


def test_two_predictions_for_one_image_are_refused(bcss, masks, guesses):
    image, labels = next(iter(guesses.items()))
    tifffile.imwrite(masks / f"{image}.tif", CARD.encode(labels))
    with pytest.raises(PredictionProblem, match=rf"twice \(1\): {image}.png and {image}.tif".replace("+", r"\+")):
        evaluate(masks, CARD, bcss, "val")


def test_missing_ones_count_as_wrong_when_allowed(bcss, truths, guesses, masks, tmp_path):
    gone = next(iter(guesses))
    (masks / f"{gone}.png").unlink()
    report = evaluate(masks, CARD, bcss, "val", allow_missing=True, out=tmp_path / "out", **OPTIONS)
    guesses[gone] = np.full_like(truths[gone], 255)
    assert np.array_equal(report.confusion, whole_matrix(truths, guesses))
    assert (report.images, report.missing) == (4, 1)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())[0]["missing"] == 1
    with (tmp_path / "out" / "per_image.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file) if row["missing"] == "yes"] == [gone]
    Image.new("L", (4, 4)).save(masks / "extra.png")
    with pytest.raises(PredictionProblem, match="extra"):  # only missing ones are forgiven
        evaluate(masks, CARD, bcss, "val", allow_missing=True)


def test_splits_without_masks_and_unlisted_protocols_are_refused(bcss, masks):
    with pytest.raises(UsageError, match=r"trains on image labels.*Splits with masks: val, test"):
        evaluate(masks, CARD, bcss, "train")
    with pytest.raises(UsageError, match="no split 'vall'"):
        evaluate(masks, CARD, bcss, "vall")
    with pytest.raises(UsageError, match=r"There is no protocol 'mlp'\. Did you mean 'mlps'"):
        evaluate(masks, CARD, bcss, "val", protocol="mlp")
    with pytest.raises(UsageError, match="not scored under the protocol 'voc'"):
        evaluate(masks, CARD, bcss, "val", protocol="voc")


def test_a_sweep_equals_scoring_at_each_threshold(tmp_path):
    card = load_card("voc2012")
    root = tmp_path / "VOC"
    write_fake(card, root, images=3)
    folder = tmp_path / "cams"
    rng = np.random.default_rng(0)
    records = list_records(card, root, "val")
    for record in records:
        truth = truth_of(card, record)
        present = [card.names[i] for i in classes_in(card, truth)][:3] or [card.names[0]]
        height, width = truth.shape
        maps = rng.random((len(present), height // 4, width // 4)).astype(np.float16)
        write_scores(folder / f"{record.id}.npz", maps, present, size=(height, width))
    report = evaluate(folder, card, root, "val", sweep=True, out=tmp_path / "out", **OPTIONS)
    assert len(report.sweep) == 99
    at = {row.threshold: row for row in report.sweep}
    assert at[0.15].miou == report.scores.miou  # the protocol's own threshold
    assert at[0.15].iou == pytest.approx([row.iou for row in report.per_class], nan_ok=True)
    assert report.best_threshold.miou == max(row.miou for row in report.sweep)
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").read_text().splitlines()))
    (best,) = [row for row in rows if row["note"]]
    assert best["note"] == "best threshold (saw truth)"
    assert float(best["threshold"]) == report.best_threshold.threshold
    assert report.per_class[-1].name == "background"
    # a missing image is wrong at every threshold
    (folder / f"{records[0].id}.npz").unlink()
    fewer = evaluate(folder, card, root, "val", sweep=True, allow_missing=True, **OPTIONS)
    assert {row.threshold: row for row in fewer.sweep}[0.15].miou == fewer.scores.miou


def test_sweeps_need_class_scores_and_a_threshold(bcss, masks, scores_folder, truths):
    with pytest.raises(UsageError, match="needs class scores"):
        evaluate(masks, CARD, bcss, "val", protocol="tpro", sweep=True)
    with pytest.raises(UsageError, match="background is never predicted"):
        evaluate(scores_folder, CARD, bcss, "val", protocol="mlps", sweep=True)
    for image, truth in truths.items():
        write_scores(scores_folder / f"{image}.npz", np.ones((2, *truth.shape), np.float16), ["tumor", "background"])
    with pytest.raises(UsageError, match="background channel"):
        evaluate(scores_folder, CARD, bcss, "val", protocol="tpro", sweep=True)


def test_intervals_are_seeded_and_can_be_left_out(bcss, masks):
    reports = [evaluate(masks, CARD, bcss, "val", bootstrap=60, seed=seed) for seed in (1, 1, 2)]
    assert reports[0].intervals == reports[1].intervals
    assert reports[0].intervals != reports[2].intervals
    without = evaluate(masks, CARD, bcss, "val", bootstrap=0)
    assert without.intervals is None
    assert without.entry()["intervals"] is None
    low, high = reports[0].intervals.miou
    assert low <= reports[0].scores.miou <= high


def test_absent_classes_are_named_and_null(bcss, truths, tmp_path):
    folder = tmp_path / "masks"
    for image, truth in truths.items():
        write_mask(folder / f"{image}.png", np.zeros_like(truth))
    # a card whose fifth class nobody has
    facts = CARD.model_dump()
    facts["classes"] = (*facts["classes"], {"name": "fat", "color": (1, 2, 3)})
    facts["codes"]["5"] = "fat"
    card = Card.model_validate(facts)
    report = evaluate(folder, card, bcss, "val", **OPTIONS)
    assert report.absent == ("fat",)
    entry = report.entry()
    assert entry["per_class"]["fat"]["iou"] is None
    assert entry["per_class"]["fat"]["absent"] is True
    assert report.scores.miou == pytest.approx(np.mean([row.iou for row in report.per_class[:4]]))


def test_foreground_is_reported_where_the_protocol_asks_for_it(tmp_path):
    card = load_card("glas")
    root = tmp_path / "glas"
    write_fake(card, root, images=2)
    split = next(name for name, each in card.splits.items() if each.supervision == "masks")
    folder = tmp_path / "masks"
    for record in list_records(card, root, split):
        truth = truth_of(card, record)
        write_mask(folder / f"{record.id}.png", card.encode(truth))
    report = evaluate(folder, card, root, split, **OPTIONS)
    assert report.foreground is not None
    assert report.foreground.iou == report.foreground.miou == 1


@pytest.mark.parametrize(("card", "folder"), [("wsss4luad", "wsss4luad"), ("voc2012-animals", "voc2012")])
def test_real_truth_scores_one_against_itself(real_data, tmp_path, checkout, card, folder):
    own = checkout / "scripts" / "reproduce" / "cards" / f"{card}.yaml"
    card = load_card(own if own.exists() else card)
    for record in list_records(card, real_data / folder, "val")[:20]:
        labels = truth_of(card, record)
        write_mask(
            tmp_path / "masks" / f"{record.id}.png", card.encode(np.where(labels == 255, 0, labels).astype(np.uint8))
        )
    report = evaluate(tmp_path / "masks", card, real_data / folder, "val", allow_missing=True, **OPTIONS)
    assert report.images - report.missing <= 20
    assert all(row.precision == 1 for row in report.per_class if row.precision == row.precision)
