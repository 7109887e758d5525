"""Partly drawn annotations hold the share that was asked for, and the table its gains."""

import json

import numpy as np
import pytest
import shapely


@pytest.fixture
def script(scripts):
    from reproduce import annotations

    return annotations


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_part_lies_in_its_area_and_has_the_share(script, share):
    area = shapely.Polygon([(0, 0), (1200, 100), (1000, 900), (50, 700)], [[(300, 300), (500, 300), (400, 500)]])
    part = script.part_of(area, share, np.random.default_rng(3))
    assert part.area == pytest.approx(share * area.area, rel=script.INEXACT)
    assert shapely.difference(part, area).area < 1e-6


def test_the_same_seed_draws_the_same_part_of_every_class(script, tmp_path):
    square = shapely.box(0, 0, 800, 800)
    about = {"type": "Feature", "properties": {"classification": {"name": "tumor"}}}
    tree = {"type": "FeatureCollection", "features": [{**about, "geometry": json.loads(shapely.to_geojson(square))}]}
    (tmp_path / "all.geojson").write_text(json.dumps(tree))
    drawn = [script.draw_part(tmp_path / "all.geojson", tmp_path / name, 0.25, seed=1) for name in ("one", "two")]
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    (feature,) = json.loads(drawn[0].read_text())["features"]
    assert feature["properties"] == about["properties"]


def test_the_table_has_means_and_the_gain_of_every_seed(script):
    found = {
        (0.25, meaning, seed): {"cams": 50 + 10 * seed + 3 * (meaning == "sparse"), "seg": 40.0}
        for meaning in script.MEANINGS
        for seed in (0, 1)
    }
    assert "| 25% | 55.0 | 58.0 | +3.0 (+3.0, +3.0) | 40.0 | 40.0 | +0.0 (+0.0, +0.0) |" in script.table(found)
