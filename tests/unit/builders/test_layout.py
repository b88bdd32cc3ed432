from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pipelines.builders.oci.images import Base, ImageLayer, Runtime, write_image
from pipelines.builders.oci.layers import Entry, write_layer
from pipelines.builders.oci.layout import Descriptor, Layout


def add_layer(layout: Layout, text: str) -> ImageLayer:
    with layout.new_blob() as path:
        made = write_layer([Entry("opt/x", content=text.encode())], path)
        layout.adopt(path, made.digest)
    return ImageLayer(made.digest, made.diff_id, made.size_bytes, "COPY x", role="code")


def add_image(layout: Layout, text: str) -> Descriptor:
    return write_image(
        layout,
        base=Base(),
        layers=[add_layer(layout, "shared"), add_layer(layout, text)],
        runtime=Runtime(entrypoint=["/bin/sh", "-c", "true"], env={"A": "1"}, labels={"b": "2"}),
        annotations={},
    )


def test_an_image_can_be_read_back_by_its_digest(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    image = add_image(layout, "one")
    manifest = layout.read_json(image.digest)
    config = layout.read_json(manifest["config"]["digest"])
    assert config["config"]["Entrypoint"] == ["/bin/sh", "-c", "true"]
    assert config["config"]["Env"] == ["A=1"]
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
    assert json.loads((tmp_path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert [one.digest for one in layout.images()] == [image.digest]


def test_the_same_image_twice_is_listed_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert add_image(layout, "one") == add_image(layout, "one")
    assert len(layout.images()) == 1


def test_images_that_are_listed_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(add_image(Layout(tmp_path), f"{n}").digest))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {image.digest for image in Layout(tmp_path).images()} == set(made)
    assert len(made) == 12


def test_pruning_keeps_shared_blobs_and_drops_the_rest(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    kept, dropped = add_image(layout, "keep"), add_image(layout, "drop")
    assert layout.prune([kept.digest]) > 0
    assert [image.digest for image in layout.images()] == [kept.digest]
    assert not layout.has(dropped.digest)
    for part in layout.read_json(kept.digest)["layers"]:
        assert layout.has(part["digest"])


def test_pruning_waits_for_a_build(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with layout.building():
        layer = add_layer(layout, "not in an image yet")
        pruning = threading.Thread(target=lambda: Layout(tmp_path).prune([]))
        pruning.start()
        pruning.join(0.1)
        assert pruning.is_alive()
        assert layout.has(layer.digest)
    pruning.join(5)
    assert not layout.has(layer.digest)


@pytest.mark.parametrize("digest", ["", "md5:abc", "sha256:../../etc/passwd", "sha256:" + "g" * 64])
def test_what_is_no_digest_names_no_file(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Layout(tmp_path).blob(digest)
