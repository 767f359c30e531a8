import tarfile
from pathlib import Path

import pytest
from pytorch_metric_learning.datasets import CUB, Cars196, StanfordOnlineProducts

from benchmarks.data.published import sets as published
from benchmarks.data.published.sets import PUBLISHED, list_published


@pytest.mark.parametrize("kind", PUBLISHED)
def test_part_of_a_published_set_is_refused_unless_it_is_said_to_be_one(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    with pytest.raises(ValueError, match=r"expected [\d,]+ training images of [\d,]+ classes, but found \d+ of \d"):
        list_published(kind, folder, verify=True, download=False)
    assert len(list_published(kind, folder, verify=False, download=False).files) >= 8


def test_published_counts_are_those_of_the_protocol() -> None:
    images = {kind: [count for _, count in PUBLISHED[kind].counts.values()] for kind in PUBLISHED}
    assert images == {
        "cub": [5864, 5924],
        "cars196": [8054, 8131],
        "sop": [59551, 60502],
        "inshop": [25882, 14218, 12612],
    }


@pytest.mark.parametrize(("kind", "theirs"), [("cub", CUB), ("cars196", Cars196), ("sop", StanfordOnlineProducts)])
def test_archives_come_from_where_pml_takes_them(kind: str, theirs: type) -> None:
    archive = PUBLISHED[kind].archive
    assert archive is not None and archive.url == theirs.DOWNLOAD_URL  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_missing_folder_says_what_it_holds_and_where_to_get_it(kind: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        list_published(kind, tmp_path / "none", verify=True, download=False)
    message = str(refused.value)
    assert PUBLISHED[kind].page in message and PUBLISHED[kind].layouts in message
    assert ("data.download=true" in message) == (kind != "inshop")


def test_inshop_cannot_be_downloaded_and_says_where_to_ask(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="data=inshop cannot be downloaded: its owners give it on request, at https://mmlab"
    ):
        list_published("inshop", tmp_path / "none", verify=True, download=True)


def test_download_is_unpacked_listed_and_dropped(cub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(url: str, file: Path, checksum: str | None) -> None:
        assert url == PUBLISHED["cub"].archive.url and checksum == "md5:97eceeb196236b17998738112f37df78"  # type: ignore[union-attr]
        file.parent.mkdir()
        with tarfile.open(file, "w:gz") as archive:
            archive.add(cub, "CUB_200_2011")

    monkeypatch.setattr(published, "fetch", bring)
    listing = list_published("cub", tmp_path / "data" / "cub", verify=False, download=True)
    assert len(listing.files) == 11 and listing.files[0].is_relative_to(tmp_path / "data" / "cub" / "CUB_200_2011")
    assert [child.name for child in (tmp_path / "data").iterdir()] == ["cub"]


def test_data_that_is_there_is_not_downloaded_again(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "fetch", None)
    assert len(list_published("cub", cub, verify=False, download=True).files) == 11
