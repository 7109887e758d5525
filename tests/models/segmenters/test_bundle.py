"""An exported bundle passes MONAI's own checks, and labels images as the segmenter itself does."""

import hashlib
import json

import numpy as np
import pytest
import torch
from monai.bundle import run, verify_metadata, verify_net_in_out
from monai.bundle.config_parser import ConfigParser

from qaclims_path.errors import QaclimsError
from qaclims_path.files.images import read_mask, write_image
from qaclims_path.models.segmenters.bundle import write_bundle
from qaclims_path.models.segmenters.predicting import Predictor
from qaclims_path.models.segmenters.segmenter import Segmenter

# What the schema that the metadata names asks for, as MONAI's specification of bundles has it; it would be fetched.
REQUIRED = (
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
)
DATA = {"type": "object", "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"]}
SCHEMA = {
    "type": "object",
    "required": list(REQUIRED),
    "properties": {
        **{key: {"type": "string"} for key in ("version", "monai_version", "pytorch_version", "numpy_version")},
        **{key: {"type": "string", "minLength": 1} for key in ("task", "description", "authors", "copyright")},
        "changelog": {"type": "object", "additionalProperties": {"type": "string"}},
        "required_packages_version": {"type": "object", "additionalProperties": {"type": "string"}},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {kind: {"type": "object", "additionalProperties": DATA} for kind in ("inputs", "outputs")},
        },
    },
}
quiet = pytest.mark.filterwarnings(
    "ignore:parsing config_file", "ignore:NvImgCodecPydicomReader", "ignore:.*deprecated:FutureWarning"
)


@quiet
@pytest.mark.parametrize("name", ["deeplabv3plus", "unet", "deeplabv2"])
def test_monai_verifies_and_runs_it(name, make, tmp_path):
    segmenter, folder = make(name), tmp_path / "bundle"
    with torch.no_grad():  # logits that differ from pixel to pixel
        for parameter in segmenter.parameters():
            parameter.mul_(1.5)
    write_bundle(segmenter, folder)
    files = {"meta_file": str(folder / "configs/metadata.json"), "config_file": str(folder / "configs/inference.json")}
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    known = hashlib.md5(json.dumps(SCHEMA).encode()).hexdigest()
    verify_metadata(meta_file=files["meta_file"], filepath=str(tmp_path / "schema.json"), hash_val=known)
    verify_net_in_out("network", **files, device="cpu", bundle_root=str(folder))
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    picture[:, 30:], picture[40:] = 230, 90
    write_image(folder / "images" / "one.two.png", picture)
    run(**files, bundle_root=str(folder), device=torch.device("cpu"))
    found = read_mask(folder / "eval" / "one.two.png")
    codes = np.array([channel.code for channel in segmenter.spec.channels], np.uint8)
    wanted = codes[Predictor(segmenter)(picture[None])[0].argmax(0).numpy()]
    assert found.shape == (64, 64)
    assert (found == wanted).mean() > 0.999
    assert len(np.unique(wanted)) > 1


def test_large_images_use_a_sliding_window(make, tmp_path):
    write_bundle(make(), tmp_path / "bundle")
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "bundle/configs/inference.json"))
    inferer = parser.get_parsed_content("inferer")
    assert inferer(torch.rand(1, 3, 100, 130), make()).shape == (1, 3, 100, 130)


def test_a_bundle_holds_a_segmenter_with_licence_and_card(make, tmp_path):
    segmenter = make()
    write_bundle(segmenter, tmp_path / "bundle")
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(Segmenter.from_pretrained(tmp_path / "bundle" / "models")(images), segmenter(images))
    assert "CC0 1.0" in (tmp_path / "bundle" / "LICENSE").read_text()
    assert "# unet on Made-up tissue" in (tmp_path / "bundle" / "docs" / "README.md").read_text()


def test_a_folder_that_is_not_empty_is_kept(make, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(QaclimsError, match="cannot be replaced"):
        write_bundle(make(), tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
