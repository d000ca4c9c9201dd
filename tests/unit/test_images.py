"""The images' build files, held to the package they install; no container engine is needed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = {
    "reasoner_api": ROOT / "crds",
    "reasoner_operator": ROOT / "operator",
    "reasoner_local": ROOT / "operator",
    "reasoner_workloads": ROOT / "workloads",
}


@dataclass(frozen=True)
class Image:
    """What an image must be."""

    name: str
    entrypoint: str
    #: Own modules that its smoke test imports: all that its pods run.
    modules: frozenset[str]
    #: What pip is told beside the distribution and its extra.
    more: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return ROOT / "images" / self.name

    def instructions(self) -> list[tuple[str, str]]:
        """The Dockerfile's instructions and their values, without comments."""
        parser = DockerfileParser(str(self.folder / "Dockerfile"))
        return [(item["instruction"], item["value"]) for item in parser.structure if item["instruction"] != "COMMENT"]

    def pins(self) -> dict[str, str]:
        """The versions that pip is held to."""
        lines = (self.folder / "constraints.txt").read_text().splitlines()
        found = [Requirement(line) for line in lines if line and not line.startswith("#")]
        versions = {canonicalize_name(item.name): str(item.specifier).removeprefix("==") for item in found}
        assert len(versions) == len(found)
        return versions


WORKLOADS = '["python", "-m", "reasoner_workloads"]'
IMAGES = [
    Image(
        "operator",
        '["reasoner"]',
        frozenset({"reasoner_api", "reasoner_operator.main", "reasoner_operator.cli"}),
    ),
    Image("curation", WORKLOADS, frozenset({"reasoner_api", "reasoner_workloads.curation.run"})),
    Image(
        "trainer",
        WORKLOADS,
        frozenset(
            {
                "reasoner_api",
                "reasoner_workloads.verifier.run",
                "reasoner_workloads.verifier.serve",
                "reasoner_workloads.grpo.run",
            }
        ),
        more=("--requirement", "requirements.in"),
    ),
]
EACH = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it lies in site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def smoke_tests(image: Image) -> list[str]:
    """The Python programs that the image's build runs."""
    found = [
        words[words.index("-c") + 1]
        for instruction, value in image.instructions()
        if instruction == "RUN"
        for part in value.split("&&")
        if "-c" in (words := shlex.split(part))
    ]
    assert found
    return found


def imported(image: Image) -> set[str]:
    """The modules that the smoke tests import."""
    names = {name.strip() for text in smoke_tests(image) for name in text.removeprefix("import ").split(",")}
    assert all(re.fullmatch(r"[\w.]+", name) for name in names)
    return names


def requirements(extra: str) -> list[Requirement]:
    """What an extra asks for, beside what every installation needs; extras within extras resolved."""
    found = []
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            found += [item for inner in requirement.extras for item in requirements(inner)]
        else:
            found.append(requirement)
    return found


@EACH
def test_hadolint_has_nothing_to_say(image: Image) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, image.folder / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@EACH
def test_an_image_installs_its_own_extra_and_no_other(image: Image) -> None:
    installs = [
        shlex.split(value)[2:]
        for instruction, value in image.instructions()
        if instruction == "RUN" and value.startswith("pip ")
    ]
    assert installs == [
        ["--constraint", "constraints.txt", *image.more, f".[{image.name}]"],
        # The same once more with our own code, whose dependencies are there already.
        ["--no-deps", "--force-reinstall", "."],
    ]


@EACH
def test_each_requirement_is_pinned_to_a_version_that_it_allows(image: Image) -> None:
    wanted = requirements(image.name)
    if image.more:
        lines = (image.folder / image.more[1]).read_text().splitlines()
        wanted += [Requirement(line) for line in lines if not line.startswith("#")]
    pins = image.pins()
    wrong = [str(item) for item in wanted if not item.specifier.contains(pins.get(canonicalize_name(item.name), ""))]
    assert wrong == []


@EACH
def test_images_run_the_versions_that_are_tested(image: Image) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {
        canonicalize_name(item.name): str(item.specifier).removeprefix("==")
        for item in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    pins = image.pins()
    differing = {name for name, version in pins.items() if tested.get(name, version) != version}
    # What vLLM holds back.
    assert differing == ({"fastapi", "lark", "numpy"} if image.name == "trainer" else set())


@EACH
def test_an_image_runs_without_root_from_two_stages(image: Image) -> None:
    instructions = image.instructions()
    stages = [value for instruction, value in instructions if instruction == "FROM"]
    assert stages == ["${PYTHON} AS build", "${PYTHON}"]
    last = instructions[[index for index, item in enumerate(instructions) if item[0] == "FROM"][-1] :]
    values = dict(last)
    assert values["USER"] == "65532:65532"
    assert values["ENTRYPOINT"] == image.entrypoint
    assert [value for instruction, value in last if instruction == "COPY"] == ["--from=build /opt/venv /opt/venv"]
    assert any("PYTHONSAFEPATH=1" in value for instruction, value in last if instruction == "ENV")
    # The smoke test runs as the user that the pods run as.
    order = [instruction for instruction, _ in last]
    assert order.index("USER") < len(order) - 1 - order[::-1].index("RUN")


@EACH
def test_all_that_a_build_copies_is_there_and_not_ignored(image: Image) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for instruction, value in image.instructions():
        if instruction == "COPY" and not value.startswith("--from"):
            for source in shlex.split(value)[:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in allowed


@EACH
def test_smoke_tests_import_all_that_the_pods_run(image: Image, unpacked: Path) -> None:
    names = imported(image)
    own = {name for name in names if name.split(".")[0] in PACKAGES}
    assert own == image.modules
    for name in own:
        path = unpacked / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name
    assert {canonicalize_name(name) for name in names - own} <= set(image.pins())


@pytest.mark.parametrize("image", IMAGES[:2], ids=lambda image: image.name)
def test_smoke_tests_pass_on_the_wheel(image: Image, unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    for program in smoke_tests(image):
        where = f"{program}; import reasoner_api; print(reasoner_api.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).is_relative_to(unpacked)


def test_commands_of_the_images_exist(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info")
    assert "reasoner = reasoner_operator.cli:app" in (metadata / "entry_points.txt").read_text()
    assert (unpacked / "reasoner_workloads/__main__.py").is_file()


def test_the_wheel_holds_every_file_of_the_four_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(folder))
        for package, folder in PACKAGES.items()
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == expected
    assert {name.split("/")[0] for name in shipped} == set(PACKAGES)
