"""All shipped recipes train for two steps on made-up data with tiny models."""

import math

import pytest

from qaclims_path.assets import asset_dir
from qaclims_path.language.prompts import load_prompts
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.precision import CPU_NOTE
from qaclims_path.pipeline.configs import recipe_names

METHODS = {"cam", "cam+", "names", "shuffled", "clims", "qa-clims", "qa-clims-path"}
DATASETS = {"bcss", "bcss-wsss", "luad-histoseg", "gcss", "wsss4luad", "glas", "voc2012", "coco2014", "phantom"}


def test_every_data_set_has_every_method() -> None:
    every = {f"{dataset}/{method}" for dataset in DATASETS for method in METHODS}
    assert every - set(recipe_names()) == {"glas/shuffled"}  # all images have the same class
    assert {path.stem for path in (asset_dir("configs") / "methods").glob("*.yaml")} == METHODS


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_runs_for_two_steps(name: str, train) -> None:
    report = train(name)
    assert report.steps == 2
    assert report.method == name.partition("/")[2].partition("-published")[0].removesuffix("-r38")
    assert all(math.isfinite(value) for value in report.losses.values())


@pytest.mark.parametrize("dataset", ["voc2012", "coco2014", "bcss-wsss"])
@pytest.mark.parametrize("method", ["cam", "clims", "qa-clims"])
def test_every_published_method_runs_with_its_quirks(dataset: str, method: str, train) -> None:
    report = train(f"{dataset}/{method}", "published=true", "cam.augment.long=[24,48]")
    assert report.steps == 2
    assert report.precision == "fp32"
    assert (CPU_NOTE in report.notes) == (method == "clims")


@pytest.mark.parametrize(
    ("name", "lr", "first", "epochs", "batch", "weights"),
    [
        ("voc2012/cam", 0.1, None, 5, 16, {}),
        ("coco2014/cam", 0.1, None, 5, 16, {}),
        (
            "voc2012/clims",
            2.5e-4,
            0.1,
            15,
            16,
            {"object_text": 10, "background_text": 24, "background_words": 1, "area": 0.2, "word_threshold": 0.26},
        ),
        (
            "coco2014/clims",
            5e-4,
            0.1,
            8,
            32,
            {"object_text": 2, "background_text": 14, "background_words": 1.25, "area": 0.2, "word_threshold": 0.285},
        ),
        ("voc2012/qa-clims", 3.5e-4, 0.1, 15, 8, {"foreground": 10, "background": 8, "area": 0.2, "temperature": 0.7}),
        ("coco2014/qa-clims", 1e-5, 0.1, 15, 8, {"foreground": 30, "background": 24, "area": 0.2, "temperature": 0.7}),
    ],
)
def test_published_numbers_are_as_published(name, lr, first, epochs, batch, weights) -> None:
    found = load_options(name, ["published=true"])
    options = found.cam
    assert (options.train.lr, options.train.epochs, options.train.batch) == (lr, epochs, batch)
    assert (options.train.momentum, options.train.weight_decay, options.train.power) == (1e-4, 1e-4, 0.9)
    assert (options.augment.style, options.augment.size, options.augment.long) == ("published", 512, (320, 640))
    assert (options.network.backbone, options.network.stride, options.network.head_factor) == (
        "resnet50.tv_in1k",
        16,
        10,
    )
    assert found.shared.judge.published_pixels == bool(weights)
    assert weights.items() <= options.losses.items()
    if weights:
        assert options.losses["reference_batch"] == (4 if name.endswith("qa-clims") else 16)
        assert (options.train.accumulate, options.train.batchnorm) == (1, "train")  # norms see the whole batch
        assert options.init.start == "cam"
        assert options.init.train["lr"] == first
        assert options.init.train["momentum"] == 1e-4


def test_defaults_correct_the_momentum_of_the_published_code() -> None:
    for name in ("voc2012/cam", "voc2012/clims", "voc2012/qa-clims"):
        options, published = load_options(name), load_options(name, ["published=true"])
        assert options.cam.train.momentum == 0.9
        assert options.cam.train.lr == pytest.approx(published.cam.train.lr / 10)
        assert not options.shared.judge.published_pixels


@pytest.mark.parametrize("dataset", ["bcss-wsss", "luad-histoseg"])
def test_tissue_has_the_published_backbone_and_torchvisions_where_its_weights_are_not_there(dataset: str) -> None:
    plain, wide = load_options(f"{dataset}/cam").cam, load_options(f"{dataset}/cam-r38").cam
    assert (plain.network.backbone, plain.network.stride) == ("resnet50.tv_in1k", 16)
    assert (wide.network.backbone, wide.network.stride) == ("wideresnet38", 8)
    assert (wide.train.lr, wide.train.epochs, wide.train.batch) == (plain.train.lr, 20, 20)
    assert wide.augment == plain.augment
    side = load_options(f"{dataset}/cam-r38", ["cam.network.side={stages: [2, 3], gate: true, context: 15}"]).cam
    assert side.network.side.stages == (2, 3)


def test_language_starts_from_the_maps_of_the_plain_recipe() -> None:
    for dataset in DATASETS:
        plain = load_options(f"{dataset}/cam").cam.train
        first = load_options(f"{dataset}/qa-clims").cam.init.train
        assert (first["epochs"], first["lr"]) == (plain.epochs, plain.lr), dataset


def test_words_of_clims_are_as_published() -> None:
    voc, coco = load_prompts("clims-voc"), load_prompts("clims-coco")
    assert voc.words == ("tree", "river", "sea", "lake", "water", "railway", "railroad", "track", "stone", "rocks")
    assert len(set(coco.words)) == len(coco.words) == 88
    assert voc.rename == coco.rename == {"person": "player"}


@pytest.mark.parametrize(
    ("recipe", "own"), [("voc2012/cam", "fixed"), ("voc2012/clims", "train"), ("voc2012/qa-clims", "train")]
)
def test_norms_of_the_published_classifier_are_fixed_and_those_of_the_methods_are_not(recipe, own) -> None:
    found = load_options(recipe, ["published=true"])
    assert found.cam.network.backbone == "resnet50.tv_in1k"
    assert (found.cam.train.batchnorm, found.cam.first_train.batchnorm) == (own, "fixed")
